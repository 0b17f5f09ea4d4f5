"""What the executor makes of news about its workers, in every order in which they can come.

The processes are made up here; pools, lines and the clock do what the test says.
"""

import itertools
import random
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict

import pytest
from pebble import ProcessExpired

from autocompress.errors import ExecutorError
from autocompress.executors import local, slot
from autocompress.executors.base import DoneEvent, StepEvent
from autocompress.executors.local import LocalExecutor
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, TrialResult
from autocompress.lc import StepRecord

STEPS = 4


class World:
    """The clock, the lines, and the pools of all slots, newest last."""

    def __init__(self):
        self.now = 0.0
        self.pools = []
        self.numbers = itertools.count(1)
        self.opened = 0
        self.answers = []

    def line(self):
        self.opened += 1
        return next(self.numbers)

    def answer(self, line, step):
        self.answers.append((line, step))

    def close(self):
        pass

    authkey = address = None


class Pool:
    """Takes batches and never does anything by itself."""

    def __init__(self, world):
        world.pools.append(self)
        self.given = []
        self.stopped = False

    def schedule(self, function, args):
        assert not self.stopped
        future = Future()
        self.given.append((*args, future))
        return future

    def stop(self):
        self.stopped = True

    def join(self):
        pass


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr(slot, "monotonic", lambda: made.now)
    monkeypatch.setattr(slot.Slot, "_new_pool", lambda self: Pool(made))
    monkeypatch.setattr(local, "Lines", lambda hear: made)
    monkeypatch.setattr(local, "pack", lambda context, run: b"")
    return made


def make(workers=1, **more):
    return LocalExecutor(None, workers=workers, **more)


def job(number, folder="nowhere"):
    return Job(number, {}, 0, str(folder), ())


def step(number):
    return asdict(StepRecord(number, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))


def result(number):
    return TrialResult(number, Status.COMPLETE, {"accuracy": number / 100}).to_dict()


def killed():
    return ProcessExpired("killed", code=-9)


class Talk:
    """One worker's line to the executor, about one batch."""

    def __init__(self, world, executor, pool=-1, given=-1):
        self.world, self.executor = world, executor
        self.jobs, self.ticket, self.future = world.pools[pool].given[given]
        self.line = world.line()

    def say(self, number, **what):
        message = {"ticket": self.ticket, "number": number, "line": self.line, **what}
        self.executor._heard.put(message)

    def gone(self):
        self.executor._heard.put({"line": self.line, "gone": True})

    def ended(self, error=None):
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


def hear(executor):
    return [
        e.record.step if isinstance(e, StepEvent) else e.result.status for e in executor.poll(0)
    ]


def test_a_result_heard_after_the_pool_told_of_the_death_counts(world):
    executor = make()
    executor.submit([job(0)])
    talk = Talk(world, executor)
    talk.say(0, process=11)
    talk.ended(killed())
    assert hear(executor) == []
    assert executor.capacity == 0  # its line has not ended: there may be more to hear
    talk.say(0, step=step(0))
    talk.say(0, result=result(0))
    talk.gone()
    assert hear(executor) == [0, Status.COMPLETE]
    assert (executor.capacity, len(world.pools)) == (1, 2)
    assert world.pools[1].given == []


@pytest.mark.parametrize("what", [{"process": 11}, {"step": step(3)}, {"result": result(0)}])
def test_what_a_dead_worker_said_does_not_count_once_its_job_is_another_ones(world, what):
    executor = make(waits=True)
    executor.submit([job(0)])
    first = Talk(world, executor)
    first.ended(BrokenProcessPool())  # dead before a word was heard
    hear(executor)
    world.now += 1
    hear(executor)  # handed on
    assert len(world.pools[1].given) == 1
    second = Talk(world, executor)
    second.say(0, process=22)
    first.say(0, **what)
    first.gone()
    second.say(0, step=step(1))
    assert hear(executor) == [1]
    assert executor.running == {0: 22}
    assert hear(executor) == []
    assert world.answers == [(second.line, 1)]
    world.now += 100
    assert hear(executor) == []  # nor is the healthy one given up for the end of the other's line
    second.say(0, result=result(0))
    second.ended()
    assert hear(executor) == [Status.COMPLETE]
    assert executor.capacity == 1


def test_a_number_used_again_has_nothing_of_the_one_before(world):
    executor = make(workers=2)
    executor.submit([job(0)])
    first = Talk(world, executor, pool=0)
    first.say(0, process=11)
    first.say(0, result=result(0))
    assert hear(executor) == [Status.COMPLETE]
    executor.submit([job(0)])  # in the other worker: this one's pool has not told of the end yet
    second = Talk(world, executor, pool=1)
    second.say(0, process=22)
    first.say(0, step=step(1))
    first.ended()
    assert hear(executor) == []
    assert executor.capacity == 1
    second.say(0, step=step(0))
    assert hear(executor) == [0]


def test_a_batch_that_ended_well_waits_for_its_last_result(world):
    executor = make()
    executor.submit([job(0), job(1)])
    talk = Talk(world, executor)
    talk.say(0, process=11)
    talk.say(0, result=result(0))
    talk.say(1, process=11)
    talk.ended()
    assert hear(executor) == [Status.COMPLETE]
    world.now += 100
    assert hear(executor) == []
    talk.say(1, result=result(1))
    assert hear(executor) == [Status.COMPLETE]
    assert executor.capacity == 1


def test_a_line_that_outlives_its_worker_is_waited_for_three_seconds(world):
    executor = make()
    executor.submit([job(0)])
    talk = Talk(world, executor)
    talk.say(0, process=11)
    talk.ended(killed())
    world.now += 2.9
    assert hear(executor) == []
    assert len(world.pools) == 1
    world.now += 3.0
    hear(executor)
    assert len(world.pools[1].given) == 1


def test_a_worker_that_ends_without_its_pool_noticing(world):
    executor = make()
    executor.submit([job(0)])
    talk = Talk(world, executor)
    talk.say(0, process=11)
    talk.gone()
    assert hear(executor) == []
    world.now += 3.1
    (event,) = executor.poll(0)
    assert event.result.status is Status.CRASHED
    assert "exit code 0" in event.result.message


def test_the_time_of_a_job_is_not_told_by_the_clock_on_the_wall(world, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 4e9)  # somebody sets it to a hundred years ahead
    executor = make(timeout=10)
    executor.submit([job(0), job(1)])
    talk = Talk(world, executor)
    world.now += 60  # while the worker starts
    talk.say(0, process=11)
    hear(executor)
    world.now += 9
    talk.say(0, result=result(0))
    talk.say(1, process=11)
    assert hear(executor) == [Status.COMPLETE]
    world.now += 9
    assert hear(executor) == []
    world.now += 2
    (event,) = executor.poll(0)
    assert (event.result.number, event.result.status) == (1, Status.TIMEOUT)
    assert world.pools[0].stopped


def test_workers_that_die_while_they_start(world):
    executor = make(workers=2)

    def die():
        given = (batch for pool in world.pools for batch in pool.given)
        next(future for _, _, future in given if not future.done()).set_exception(
            BrokenProcessPool()
        )
        assert hear(executor) == []  # it may have said something
        world.now += 1
        return hear(executor)

    executor.submit([job(0)])
    assert die() == []
    assert die() == [Status.CRASHED]  # two have died of it
    executor.submit([job(1)])
    with pytest.raises(ExecutorError, match="end as soon as they start"):
        die()


class Process:
    """A worker that does its batch step by step; jobs go on where their states are."""

    def __init__(self, batch, states, line, process):
        self.jobs, self.ticket, self.future = batch
        self.line, self.process = line, process
        self.said, self.told = [], False  # what is on its way, by its line and by its pool
        self.alive = True
        self.work = self._work(states)

    def _work(self, states):
        for values in self.jobs:
            number = values["number"]
            yield {"number": number, "process": self.process}
            for at in range(STEPS):
                states[number] = max(states[number], at)
                yield {"number": number, "step": step(at)}  # those of before are told again
            yield {"number": number, "result": result(number)}

    def move(self, lottery):
        """Do something: say a word, end, or be killed."""
        if lottery.random() < 0.12:
            self.end(killed() if lottery.random() < 0.8 else BrokenProcessPool())
            return
        word = next(self.work, None)
        if word is None:
            self.future.set_result(None)
            self.alive = False
        else:
            self.said.append({**word, "ticket": self.ticket, "line": self.line})

    def end(self, error):
        self.alive = False
        self.said.append({"line": self.line, "gone": True})
        self.error = error


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_the_news_leaves_one_result_of_every_job(world, seed):
    """Lines and pools are heard at random times after what they tell of; nothing else is."""
    lottery = random.Random(seed)
    executor = make(workers=3, waits=lottery.random() < 0.5)
    states = dict.fromkeys(range(12), -1)
    waiting = [[n] for n in range(8)] + [[8, 9], [10, 11]]
    lottery.shuffle(waiting)
    seen, processes, futures = {n: [] for n in states}, [], set()
    for _ in range(4000):
        world.now += lottery.choice([0.0, 0.01, 0.3])
        if waiting and executor.capacity:
            executor.submit([job(n) for n in waiting.pop()])
        for pool in world.pools:
            for batch in pool.given:
                if id(batch) not in futures and not pool.stopped:
                    futures.add(id(batch))
                    at_it = {j["number"] for p in processes if p.alive for j in p.jobs}
                    at_it -= {n for n in seen if "done" in seen[n]}
                    assert not at_it & {j["number"] for j in batch[0]}, "two are at one job"
                    made = Process(batch, states, world.line(), 100 + len(processes))
                    made.pool = pool
                    processes.append(made)
        for process in processes:
            if process.alive and process.pool.stopped:
                process.end(None)
            if process.alive and lottery.random() < 0.5:
                process.move(lottery)
            error = getattr(process, "error", None)
            if error and not process.told and lottery.random() < 0.2:
                process.told = True
                if not process.pool.stopped:
                    process.future.set_exception(error)
            while process.said and lottery.random() < 0.4:
                executor._heard.put(process.said.pop(0))
        for event in executor.poll(0):
            if isinstance(event, DoneEvent):
                number = event.result.number
                assert "done" not in seen[number]
                seen[number].append("done")
                if event.result.status is Status.COMPLETE:
                    assert seen[number] == [*range(STEPS), "done"]
                    assert event.result.metrics == {"accuracy": number / 100}
                else:
                    assert event.result.status is Status.CRASHED
            else:
                assert seen[event.number] == list(range(event.record.step))
                seen[event.number].append(event.record.step)
        if all("done" in told for told in seen.values()):
            break
    assert all("done" in told for told in seen.values())
    assert executor.running == {}

"""Trials in actors of a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from autocompress.errors import ExecutorError
from autocompress.executors.base import Closing, Event
from autocompress.executors.ray.actor import Message, Work
from autocompress.executors.ray.cluster import Cluster
from autocompress.executors.ray.crew import Crew
from autocompress.executors.ray.files import Courier
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.slot import Slot
from autocompress.executors.ray.storage import Storage
from autocompress.executors.ray.tasks import Tasks
from autocompress.executors.ray.work import Trials
from autocompress.executors.shipping import pack
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, run_job

_LAST_WORDS = 2.0
"""Seconds that workers have to write where they stand before they are ended for being late."""


class RayExecutor(Closing):
    """Actors that load the context once and then run trial after trial.

    The context lies in the cluster's object store, once. A trial whose worker or node is lost goes
    on at its last L-C step on another; one whose worker process dies again after the same step has
    crashed. One that runs out of memory next to others on a GPU is tried once more with a GPU of
    its own.

    Args:
        context: What all jobs share.
        run: The run's folder; jobs' folders lie in it.
        settings: The cluster, and what each trial is given.
        storage: Where states and files pass; None where all nodes see the run's folder.
        threads: Threads of the numerical libraries in each worker.
        timeout: Seconds a job may take on a worker; None for no limit.
        waits: Whether workers wait after each step until the driver has heard of it and polls
            again: a stop then takes effect right there, and not a step later.
        local: CPUs of a Ray that is started here; None for all.
        work: What to do with a job; for tests.
        load: Makes what a worker does with jobs instead of running trials, context and all: for
            workers that are to stay light.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: a trial needs more than any node has.
        ExecutorError: the cluster cannot be reached, or the context not be sent.
    """

    def __init__(
        self,
        context: TrialContext,
        run: Path,
        settings: RaySettings | None = None,
        *,
        storage: Storage | None = None,
        threads: int = 1,
        timeout: float | None = None,
        waits: bool = False,
        local: int | None = None,
        work: RunJob = run_job,
        load: Callable[[], Work] | None = None,
    ) -> None:
        self._settings = settings or RaySettings()
        self._timeout = timeout
        self._broken: ExecutorError | None = None
        self._closed = False
        if load is None:
            payload = pack(context, work, small=self._settings.small_data)
            load = partial(Trials, payload, threads, self._settings.gpus_per_trial > 0, storage)
        self._courier = Courier(Path(run), storage)
        self._tasks = Tasks(self._courier, elsewhere=self._settings.latency_on is not None)
        self._cluster = Cluster(self._settings, cpus=local)
        self._ray = self._cluster.ray
        arguments = (self._ray.put(cloudpickle.dumps(load)), waits, storage is None)
        self._crew = Crew(self._cluster, self._settings, self._courier, arguments)

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        return self._crew.size

    @property
    def capacity(self) -> int:
        return max(0, self.workers - len(self._tasks))

    def warm_up(self, seconds: float) -> int:
        """Bring workers up before there is work; return how many there are.

        Args:
            seconds: How long to wait for all of them.

        Raises:
            ExecutorError: they cannot start.
        """
        deadline = time.monotonic() + seconds
        self._crew.fill()
        while time.monotonic() < deadline and any(s.place is None for s in self._crew.slots):
            self.poll(0.25)
        return sum(slot.place is not None for slot in self._crew.slots)

    @property
    def running(self) -> dict[int, dict[str, Any]]:
        """Where jobs run, by number: ``node``, ``host``, ``process`` and ``gpus``."""
        busy = ((slot.task, slot.place) for slot in self._crew.slots)
        return {task.job.number: place for task, place in busy if task and place}

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._tasks.add(job)
        self._assign()

    def poll(self, timeout: float) -> list[Event]:
        if self._broken is not None:
            raise self._broken
        events: list[Event] = []
        try:
            self._cluster.check()
            for slot in self._replied(timeout):
                events += self._heard(slot)
            events += self._late()
            if (task := self._crew.vacate()) is not None:
                self._tasks.waiting.append(task)
            self._assign()
        except ExecutorError as error:
            if not events:
                raise
            self._broken = error  # what others have finished comes first
        return events

    def _replied(self, timeout: float) -> list[Slot]:
        """Return the slots with an answer; wait for one if there is none."""
        for slot in self._crew.slots:
            if slot.task is not None and slot.reply is None:
                slot.listen()  # only now: whatever it told before has been dealt with
        by_reply = {slot.reply: slot for slot in self._crew.slots if slot.reply is not None}
        if not by_reply:
            time.sleep(timeout)
            return []
        wait, replies = self._ray.wait, list(by_reply)
        ready, _ = wait(replies, num_returns=len(replies), timeout=0, fetch_local=False)
        if not ready:
            ready, _ = wait(replies, num_returns=1, timeout=timeout)
        return [by_reply[reply] for reply in ready]

    def stop(self, number: int) -> None:
        for slot in self._crew.slots:
            if slot.task is not None and slot.task.job.number == number:
                slot.stop()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._cluster.there:
                self._crew.close()
            else:
                self._crew.dismiss()
            self._courier.close()
            self._cluster.close()

    def _assign(self) -> None:
        for slot, task in self._crew.assign(self._tasks.waiting):
            if slot.kind == "timer":
                slot.start(task, task.job, self._tasks.timed(task))
            else:
                slot.start(task, self._tasks.here(task), None)

    def _heard(self, slot: Slot) -> Iterator[Event]:
        """Take an actor's answer, or learn of its end."""
        try:
            said = self._ray.get(slot.reply)
        except self._ray.exceptions.RayError as error:
            yield from self._lost(slot, error)
            return
        if slot.place is None:
            self._crew.greet(slot, said)
            return
        slot.reply = None
        for message in said:
            yield from self._message(slot, message)

    def _message(self, slot: Slot, message: Message) -> Sequence[Event]:
        task = slot.task
        if task is None:
            return []
        if "step" in message:
            return self._tasks.step(task, message["step"])
        slot.task = None
        if "fatal" in message:
            raise ExecutorError(message["fatal"])
        if "broken" in message:
            return self._tasks.failed(task, Status.CRASHED, message["broken"])
        if "metrics" in message:
            return self._tasks.measured(task, message)
        result = TrialResult.from_dict(message["result"])
        if slot.kind == "alone":
            self._crew.retire(slot)
            self._crew.room.done()
        elif result.status is Status.OUT_OF_MEMORY and 0 < self._settings.gpus_per_trial < 1:
            self._crew.room.want(task, slot.place or {})
            return []
        return self._tasks.result(task, result)

    def _late(self) -> Iterator[Event]:
        """Give up what takes too long."""
        late = self._crew.late(self._timeout)
        self._crew.note_stacks(late, _LAST_WORDS)
        for slot in late:
            task, limit = slot.task, self._timeout or 0.0
            self._crew.retire(slot)
            if slot.kind == "alone":
                self._crew.room.done()
            if task is not None:
                why = f"no result within {limit:g} s"
                yield from self._tasks.failed(task, Status.TIMEOUT, why, limit)

    def _lost(self, slot: Slot, error: Exception) -> Sequence[Event]:
        """Hand on the task of a worker that is gone."""
        self._cluster.check(now=True)
        task, place = slot.task, slot.place
        self._crew.retire(slot)
        if place is None:
            self._crew.not_born(error)
        if task is None:
            return []
        # an actor that is out of reach is one of a lost node, which Ray is slow to tell
        away = isinstance(error, self._ray.exceptions.ActorUnavailableError)
        if place is not None and not away and self._cluster.alive(place["node"]):
            task.died()
        if task.deaths <= self._settings.retries:
            self._tasks.waiting.appendleft(task)
            return []
        if slot.kind == "alone":
            self._crew.room.done()
        memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        status = Status.OUT_OF_MEMORY if memory else Status.CRASHED
        return self._tasks.failed(task, status, task.why())

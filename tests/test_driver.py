import random

import pytest

from autocompress.driver import Driver
from autocompress.executors import DoneEvent, StepEvent
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status
from autocompress.explore.seeding import make_seeds
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.explore.trial import TrialResult
from autocompress.layers import find_layers
from autocompress.lc import StepRecord
from autocompress.observer import FAILED_IN_A_ROW, FREE_IN_A_ROW, Observer
from autocompress.runs import RunFolder
from autocompress.testing.executors import toy_context

MODEL = toy_context().model
OBJECTIVES = Objectives(
    "toy",
    (
        Objective("accuracy", "maximize", worst=0.1),
        Objective("bytes", "minimize", scale="log", worst=1e5),
    ),
)


def space(density):
    scheme = {"scheme": "prune", "density": density}
    layers = [{"match": "*", "share": True, "schemes": [scheme]}]
    return SearchSpace.from_dict({"layers": layers, "recipe": {"method": "direct"}})


WIDE = space({"low": 0.1, "high": 0.9})
TWO = space({"choice": [0.25, 0.5]})


def density(job):
    return job.candidate["tasks"][0]["compression"]["density"]


def fine(job):
    metrics = {"accuracy": density(job), "bytes": 1e4 * density(job)}
    return TrialResult(job.number, Status.COMPLETE, metrics, seconds=0.1)


class Fake:
    """An executor whose jobs end, one a poll, with what a function says of them."""

    def __init__(self, result=fine, capacity=2):
        self.result = result
        self.jobs = []
        self.seen = []
        self.size = capacity

    @property
    def capacity(self):
        return self.size - len(self.jobs)

    def submit(self, jobs):
        self.jobs += jobs
        self.seen += jobs

    def poll(self, timeout):
        job = self.jobs.pop(0)
        step = StepRecord(0, 0.0, 0, 1.0, 0.1, 1.0, 0.5, 10, 0.1)
        return [StepEvent(job.number, step), DoneEvent(self.result(job))]


@pytest.fixture
def start(tmp_path):
    def make(space=WIDE, executor=None, total=8, again=False, **more):
        if again:
            study = Study.load(tmp_path, model=MODEL)
        else:
            setup = Setup(OBJECTIVES, space, {"accuracy": 1.0, "bytes": 1e4}, trials=total)
            seeds = make_seeds(space, find_layers(MODEL), total)
            study = Study.create(tmp_path, setup, MODEL, seeds=seeds)
        folder = RunFolder(tmp_path)
        driver = Driver(study, executor or Fake(), folder, total=total, metrics=("bytes",), **more)
        return driver, study

    return make


def test_runs_the_trials_asked_for_and_stores_them(start, tmp_path):
    executor = Fake()
    driver, study = start(executor=executor, total=8)
    driver.run()
    records = study.records()
    assert [r.number for r in records] == list(range(8))
    assert {r.status for r in records} == {Status.COMPLETE}
    assert records[3].folder == "trials/0003"
    assert (tmp_path / "trials" / "0003").is_dir()
    assert executor.seen[3].folder == str(tmp_path / "trials" / "0003")
    assert executor.seen[3].seed == records[3].seed
    assert len({job.seed for job in executor.seen}) == 8
    assert driver.tally.spent == 8
    assert len(driver.tally.front) == len(study.front())
    assert driver.tally.hypervolume == study.front().hypervolume() > 0


def test_a_failed_trial_is_recorded_and_the_sweep_goes_on(start):
    def result(job):
        bad = [Status.TIMEOUT, Status.CRASHED, Status.DIVERGED, Status.OUT_OF_MEMORY]
        if job.number < len(bad):
            return TrialResult(job.number, bad[job.number], message="as planned")
        return fine(job)

    driver, study = start(executor=Fake(result), total=7)
    driver.run()
    records = study.records()
    assert len(records) == 7 + 4  # the failures do not count
    assert [r.status.value for r in records[:4]] == [
        "timeout",
        "crashed",
        "diverged",
        "out_of_memory",
    ]
    assert {r.status for r in records[4:]} == {Status.COMPLETE}
    assert all(r.message == "as planned" and r.seconds > 0 for r in records[:4])
    assert driver.tally.counts()["failed"] == 4


def test_a_duplicate_is_answered_from_the_study_and_a_poor_space_comes_to_an_end(start):
    executor = Fake(capacity=1)
    driver, study = start(TWO, executor, total=6)
    driver.run()
    assert len(executor.seen) == 2  # the space has only two candidates
    records = study.records()
    by_digest = {r.digest: r.metrics for r in records if r.folder is not None}
    assert all(r.metrics == by_digest[r.digest] for r in records)
    assert driver.tally.counts()["duplicate"] == len(records) - 2
    last_ran = max(r.number for r in records if r.folder is not None)
    assert len(records) - 1 - last_ran == FREE_IN_A_ROW + 4


def test_a_candidate_equal_to_a_running_one_waits_for_it(start):
    executor = Fake(capacity=4)
    driver, study = start(TWO, executor, total=4)
    driver.run()
    assert len(executor.seen) == 2
    assert {r.status for r in study.records()} == {Status.COMPLETE}


def test_a_candidate_equal_to_one_that_crashed_is_tried_itself(start):
    def result(job):
        return TrialResult(job.number, Status.CRASHED, message="bad luck")

    executor = Fake(result, capacity=4)
    driver, study = start(TWO, executor, total=4)
    driver.run()
    assert FAILED_IN_A_ROW <= len(executor.seen) <= FAILED_IN_A_ROW + 3
    assert {r.status for r in study.records()} == {Status.CRASHED}
    assert f"({len(executor.seen)} crashed)" in driver.tally.why_hopeless
    assert "bad luck; its log: trials/00" in driver.tally.why_hopeless


def test_a_budget_is_of_trials_that_did_not_fail(start):
    lottery = random.Random(0)

    def result(job):
        if lottery.random() < 0.3:
            kind = lottery.choice([Status.CRASHED, Status.TIMEOUT, Status.OUT_OF_MEMORY])
            return TrialResult(job.number, kind, message="as it happens")
        return fine(job)

    driver, study = start(executor=Fake(result, capacity=3), total=60)
    driver.run()
    counts = driver.tally.counts()
    assert counts["complete"] == 60
    assert counts["failed"] == len(study.records()) - 60 > 10
    assert not driver.tally.why_hopeless
    study.close()
    driver, study = start(executor=Fake(), total=60, again=True)
    assert driver.tally.spent == 60


def test_a_sweep_given_up_is_given_another_chance_by_the_next_session(start):
    def result(job):
        return TrialResult(job.number, Status.TIMEOUT, message="slow")

    driver, study = start(executor=Fake(result, capacity=1), total=4)
    driver.run()
    assert driver.tally.hopeless
    study.close()
    driver, study = start(executor=Fake(), total=4, again=True)
    driver.run()
    assert driver.tally.counts()["complete"] == 4
    assert not driver.tally.hopeless


def test_trials_rejected_before_training_cost_nothing(start):
    def precheck(pending):
        found = pending.candidate.plan.tasks[0].compression.density
        if found < 0.5:
            return None
        return pending.record(Status.INFEASIBLE, {"bytes": 1e4 * found}, message="too big")

    executor = Fake()
    driver, study = start(executor=executor, total=6, precheck=precheck)
    driver.run()
    assert len(executor.seen) == 6
    assert all(density(job) < 0.5 for job in executor.seen)
    rejected = [r for r in study.records() if r.status is Status.INFEASIBLE]
    assert rejected
    assert all(r.message == "too big" and r.folder is None for r in rejected)
    assert driver.tally.counts()["infeasible"] == len(rejected)


def test_trials_that_break_a_constraint_are_never_submitted(start):
    executor = Fake()
    chosen = SearchSpace("thin", WIDE.rules, WIDE.recipe, constraints=["all.density < 0.5"])
    driver, study = start(chosen, executor, total=6)
    driver.run()
    assert len(executor.seen) == 6
    assert all(density(job) < 0.5 for job in executor.seen)
    rejected = [r for r in study.records() if r.status is Status.INFEASIBLE]
    assert rejected
    assert {r.message for r in rejected} == {"constraint 'all.density < 0.5' is broken"}
    assert driver.tally.counts()["infeasible"] == len(rejected)


def test_nothing_is_lost_or_repeated_after_an_interrupt(start, tmp_path):
    class Interrupting(Fake):
        def poll(self, timeout):
            if len(self.seen) >= 4:
                raise KeyboardInterrupt
            return super().poll(timeout)

    first = Interrupting()
    driver, study = start(executor=first, total=8)
    with pytest.raises(KeyboardInterrupt):
        driver.run()
    study.close()
    left = {job.number for job in first.jobs}
    assert left == {2, 3}

    second = Fake()
    driver, study = start(executor=second, total=8, again=True)
    assert driver.tally.spent == 2
    driver.run()
    assert [job.number for job in second.seen] == [2, 3, 4, 5, 6, 7]
    assert [job for job in second.seen if job.number in left] == first.jobs  # candidate, seed
    assert [r.number for r in study.records()] == list(range(8))
    assert {r.status for r in study.records()} == {Status.COMPLETE}


def test_a_finished_run_is_extended_by_asking_for_more(start):
    driver, study = start(total=4)
    driver.run()
    study.close()
    executor = Fake()
    driver, study = start(executor=executor, total=6, again=True)
    driver.run()
    assert [job.number for job in executor.seen] == [4, 5]


def test_observers_hear_of_every_trial_and_step(start):
    class Notes(Observer):
        def __init__(self):
            self.heard = []

        def started(self, number, steps, plan):
            self.heard.append(("started", number, plan))

        def step(self, number, record):
            self.heard.append(("step", number, record.step))

        def ended(self, record):
            self.heard.append(("ended", record.number, record.status.value))

    notes = Notes()
    driver, _ = start(executor=Fake(capacity=1), total=1, observer=notes)
    driver.run()
    assert notes.heard == [
        ("started", 0, "2 prune"),
        ("step", 0, 0),
        ("ended", 0, "complete"),
    ]


def test_what_only_a_running_trial_needs_is_removed_once_it_is_recorded(start, tmp_path):
    def result(job):
        (tmp_path / "trials" / f"{job.number:04d}" / "state.safetensors").write_text("state")
        return fine(job)

    driver, _ = start(executor=Fake(result), total=3)
    driver.run()
    assert not list(tmp_path.rglob("state.safetensors"))


def test_what_a_driver_that_was_killed_left_of_a_recorded_trial_is_removed(start, tmp_path):
    driver, study = start(total=2)
    driver.run()
    study.close()
    folder = tmp_path / "trials" / "0001"
    left = [folder / "state.safetensors", folder / ".history.csv.1a2b.tmp"]
    for path in left:
        path.write_text("left")
    (folder / "log.txt").write_text("kept")
    driver, study = start(total=2, again=True)
    driver.run()
    assert not any(path.exists() for path in left)
    assert (folder / "log.txt").read_text() == "kept"

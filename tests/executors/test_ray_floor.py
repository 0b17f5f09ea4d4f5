"""Which worker a trial is given, without a cluster."""

import importlib.util
from types import SimpleNamespace

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("no Ray", allow_module_level=True)

from autocompress.executors.ray import floor as floors
from autocompress.executors.ray.desk import Desk
from autocompress.executors.ray.run import Run
from autocompress.executors.ray.tasks import Task


class Tune:
    """Stands in for Tune: asks for runs, and notes which trials' workers it was told to take."""

    def __init__(self, size):
        self.desk = Desk()
        self.floor = floors.Floor(self.desk, size)
        self.trials = {}
        self.taken = []

    def bring(self, name, kind="trial"):
        task = Task(SimpleNamespace(number=name), name=str(name), kind=kind)
        self.desk.bring(Run(task, {"job": str(name), "needs": kind}))

    def turn(self):
        """One turn of Tune's loop; returns the names of new trials, and of the chosen one."""
        new = []
        while (run := self.floor.next(f"t{len(self.trials)}")) is not None:
            name = run.task.job.number
            run.trial = self.trials[name] = SimpleNamespace(name=name, status="PENDING", run=run)
            new.append(name)
        chosen = self.floor.choose(self)
        return new, chosen.name if chosen else None

    def stop_trial(self, trial):
        self.taken.append(trial.name)

    def get_live_trials(self):
        return [trial for trial in self.trials.values() if trial.status != "TERMINATED"]

    def starts(self, name):
        self.trials[name].status = "RUNNING"

    def ends(self, name):
        run = self.trials[name].run
        key = next(k for k, v in self.desk.runs.items() if v is run)
        del self.desk.runs[key]
        return self.floor.over(run)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(floors, "_IDLE", 0.0)


def test_no_more_run_than_there_is_room_for():
    tune = Tune(2)
    for name in range(3):
        tune.bring(name)
    assert tune.turn() == ([0, 1], 0)
    tune.starts(0)
    tune.starts(1)
    assert tune.turn() == ([], None)
    assert tune.ends(0)
    assert tune.turn() == ([2], 2)
    assert tune.taken == [0]  # its worker goes to the next


def test_workers_are_handed_on_one_at_a_time():
    tune = Tune(2)
    for name in range(2):
        tune.bring(name)
    tune.turn()
    for name in range(2):
        tune.starts(name)
        assert tune.ends(name)
    for name in (2, 3):
        tune.bring(name)
    assert tune.turn() == ([2], 2)
    assert tune.taken == [0]
    assert tune.turn() == ([3], 3)
    assert tune.taken == [0, 1]


def test_a_worker_is_not_taken_from_one_that_is_coming_up_until_it_took_too_long(monkeypatch):
    tune = Tune(2)
    tune.bring(0)
    tune.bring(1)
    tune.turn()
    tune.starts(0)  # 1 waits for a worker of its own
    tune.ends(0)
    assert tune.turn() == ([], None)
    monkeypatch.setattr(floors, "_PATIENCE", -1.0)
    assert tune.turn() == ([], 1)
    assert tune.taken == [0]


def test_a_trial_alone_gets_an_empty_gpu():
    tune = Tune(2)
    tune.bring(0)
    tune.bring(1)
    tune.turn()
    tune.starts(0)
    tune.starts(1)
    tune.ends(0)
    tune.bring("alone", kind="alone")
    assert tune.turn() == (["alone"], "alone")
    assert tune.taken == [0]  # idle, and ended
    tune.bring(2)
    assert tune.turn() == ([], None)  # none may take a part meanwhile
    assert not tune.ends(1)  # its worker goes, too
    tune.starts("alone")
    tune.turn()
    assert tune.turn() == ([2], 2)
    assert not tune.ends("alone")  # its GPU is for others now


def test_when_all_is_closed_everything_stops():
    tune = Tune(1)
    tune.bring(0)
    tune.turn()
    tune.starts(0)
    tune.desk.close()
    assert tune.turn() == ([], None)
    assert tune.taken == [0]


def test_a_note_is_dealt_with_when_the_next_are_read():
    desk = Desk()
    desk.say(None, {"step": 1})
    (note,) = desk.read(1.0)
    assert not note.heard.is_set()
    assert desk.read(0.0) == []
    assert note.heard.is_set()

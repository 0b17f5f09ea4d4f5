"""Repeats of real trials of a toy network."""

import dataclasses

import pytest

from autocompress.config import Sweep
from autocompress.executors import DoneEvent
from autocompress.executors.serial import SerialExecutor
from autocompress.explore.record import Status
from autocompress.storage import checkpoint
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
SPACE = {
    "layers": [{"match": "*", "schemes": [PRUNE]}],
    "recipe": {"mu": {"steps": 4}, "batch_size": 8},
}


@pytest.fixture
def toy():
    context = toy_context()
    settings = {"space": SPACE, "trials": 4, "jobs": 0, "sampler": "random", "seeding": "uniform"}
    return {"model": context.model, "data": context.data, **settings}


def plain(repeats):
    """Return repeats without the time they took."""
    return {n: [dataclasses.replace(r, seconds=0.0) for r in rs] for n, rs in repeats.items()}


def test_members_run_under_other_seeds_and_never_become_trials(toy, tmp_path):
    study = search(Sweep(**toy, repeats=3, out=tmp_path / "run"))
    alone = search(Sweep(**toy, out=tmp_path / "alone"))
    assert [r.metrics for r in study.records()] == [r.metrics for r in alone.records()]
    repeats = study.repeats()
    assert {record.number for record in study.front()} <= set(repeats)
    for number, runs in repeats.items():
        assert [r.index for r in runs] == [1, 2]
        assert len({r.seed for r in runs} | {study.records()[number].seed}) == 3
        for r in runs:
            assert r.status is Status.COMPLETE
            assert r.metrics["bytes"] > 0
            folder = tmp_path / "run" / r.folder
            assert folder.parent.parent == tmp_path / "run" / f"trials/{number:04d}"
            assert f"repeat {r.index} of trial {number} begins" in (folder / "log.txt").read_text()
            assert not (folder / "state.safetensors").exists()
    front = study.front()
    assert all(front.noise.seeds[record.number] == 3 for record in front)
    report = tmp_path / "run" / "report"
    assert "p_nondominated" in (report / "front.csv").read_text()
    assert "P(non-dominated)" in (report / "index.html").read_text()


def test_a_worker_that_is_free_only_after_a_while_is_waited_for(toy, tmp_path, monkeypatch):
    class Late(SerialExecutor):
        ended = False

        @property
        def capacity(self):
            return 0 if self.ended else super().capacity

        def poll(self, timeout):
            events = super().poll(timeout)
            self.ended = any(isinstance(event, DoneEvent) for event in events)
            return events

    monkeypatch.setattr("autocompress.places.SerialExecutor", Late)
    study = search(Sweep(**toy, repeats=3, out=tmp_path))
    assert len(study.records()) == 4
    assert {record.number for record in study.front()} <= set(study.repeats())
    assert {len(runs) for runs in study.repeats().values()} == {2}


def test_only_what_is_missing_is_run(toy, tmp_path):
    out = tmp_path / "run"
    first = search(Sweep(**toy, repeats=2, out=out)).repeats()
    again = search(Sweep(**toy, repeats=3, out=out)).repeats()
    assert {n: runs[:1] for n, runs in again.items()} == first
    assert {len(runs) for runs in again.values()} == {2}
    assert search(Sweep(**toy, repeats=1, out=out)).repeats() == again


def test_what_a_driver_that_was_killed_left_of_a_recorded_repeat_is_removed(toy, tmp_path):
    repeats = search(Sweep(**toy, repeats=2, out=tmp_path)).repeats()
    folder = tmp_path / next(iter(repeats.values()))[0].folder
    left = [folder / "state.safetensors", folder / ".history.csv.1a2b.tmp"]
    for path in left:
        path.write_text("left")
    assert search(Sweep(**toy, repeats=2, out=tmp_path)).repeats() == repeats
    assert not any(path.exists() for path in left)


def test_an_interrupted_repeat_goes_on_from_its_last_step(toy, tmp_path, monkeypatch):
    whole = search(Sweep(**toy, repeats=3, out=tmp_path / "whole")).repeats()

    out = tmp_path / "parts"

    def save(state, identity, path):
        original(path, state, identity)
        if "repeats" in path.parts and len(state.history) == 3:
            raise KeyboardInterrupt  # as a kill leaves it: the step is saved, nothing is told

    original = checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda path, state, who: save(state, who, path))
        with pytest.raises(KeyboardInterrupt):
            search(Sweep(**toy, repeats=3, out=out))
    (left,) = out.rglob("repeats/1/state.safetensors")
    study = search(Sweep(**toy, repeats=3, out=out))
    assert plain(study.repeats()) == plain(whole)
    assert (left.parent / "log.txt").read_text().count("step   0") == 1
    assert not left.exists()


def test_a_repeat_that_fails_is_kept_and_does_not_count(toy, tmp_path):
    from autocompress.executors.serial import SerialExecutor
    from autocompress.explore.trial import TrialResult, run_job
    from autocompress.repeats import Repeater
    from autocompress.runs import RunFolder

    study = search(Sweep(**toy, out=tmp_path))

    def run(job, context, on_step):
        if job.label.startswith("repeat 1"):
            return TrialResult(job.number, Status.DIVERGED, message="as planned")
        return run_job(job, context, on_step)

    context = toy_context()
    with SerialExecutor(context, run=run) as executor:
        folder = RunFolder(tmp_path)
        metrics = ("accuracy", "bytes")
        Repeater(study, executor, folder, seeds=3, metrics=metrics).run()
    runs = next(iter(study.repeats().values()))
    assert [r.status for r in runs] == [Status.DIVERGED, Status.COMPLETE]
    assert runs[0].message == "as planned"
    assert set(study.front().noise.seeds.values()) == {2}

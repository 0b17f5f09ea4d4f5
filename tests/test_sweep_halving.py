"""Sweeps that stop trials early: what becomes of those, and that an interrupt changes nothing."""

import pytest

from autocompress.analysis.saving import saved
from autocompress.config import Sweep
from autocompress.errors import ConfigError, RunError
from autocompress.explore.halving import Halving
from autocompress.explore.record import Status
from autocompress.explore.study import Study
from autocompress.observer import Observer
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

LAYER = {
    "match": "*",
    "schemes": [
        {"scheme": "prune", "density": {"low": 0.02, "high": 0.9}},
        {"scheme": "codebook", "k": {"low": 2, "high": 8}},
    ],
}
SPACE = {"layers": [LAYER], "recipe": {"mu": {"steps": {"low": 3, "high": 6}}, "batch_size": 16}}


@pytest.fixture
def toy():
    context = toy_context()
    halving = Halving(eta=3, grace=0.2, rungs=4)
    return {
        "model": context.model,
        "data": context.data,
        "space": SPACE,
        "trials": 16,
        "jobs": 0,
        "sampler": "random",
        "halving": halving,
    }


def seen(records):
    """All of the records but what depends on the clock."""
    return [{k: v for k, v in r.to_dict().items() if k != "seconds"} for r in records]


class Interrupts(Observer):
    """Interrupts the sweep in the middle of some step, the steps of all trials counted."""

    def __init__(self, after):
        self.left = after

    def step(self, number, record):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_trials_that_fall_behind_are_pruned_and_keep_what_is_known_of_them(toy, tmp_path):
    with search(Sweep(**toy, out=tmp_path)) as study:
        records = study.records()
        pruned = [r for r in records if r.status is Status.PRUNED]
        assert 3 <= len(pruned) < len(records)
        for record in pruned:
            assert {"accuracy", "loss", "bytes", "flops"} <= set(record.metrics)
            step = len(record.course) - 1
            where = f"L-C step {step}" if step else "direct compression"
            assert record.message == f"stopped after {where}"
            assert len(record.course) - 1 < record.candidate["recipe"]["mu"]["steps"]
        complete = [r for r in records if r.status is Status.COMPLETE]
        assert all(len(r.course) - 1 <= r.candidate["recipe"]["mu"]["steps"] for r in complete)
        assert all(r.epochs > 0 for r in complete if r.candidate["tasks"])
        assert not {r.number for r in study.front()} & {r.number for r in pruned}
        stopped, done, left_out = saved(records)
        assert stopped == len(pruned)
        assert left_out > 0.1 * (done + left_out)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_as_if_it_had_not_been(toy, tmp_path):
    with search(Sweep(**toy, out=tmp_path / "whole")) as study:
        whole = seen(study.records())
    for steps in (2, 9, 5, 12, 7):
        with pytest.raises(KeyboardInterrupt):
            search(Sweep(**toy, out=tmp_path / "parts"), observer=Interrupts(steps))
    with search(Sweep(**toy, out=tmp_path / "parts")) as study:
        assert seen(study.records()) == whole
    with Study.load(tmp_path / "parts") as study:
        assert seen(study.records()) == whole


def test_halving_is_part_of_what_a_sweep_is(toy, tmp_path):
    short = toy | {"trials": 1}
    search(Sweep(**short, out=tmp_path)).close()
    with pytest.raises(RunError, match="different halving"):
        search(Sweep(**short | {"halving": False}, out=tmp_path))


def test_objectives_that_cannot_be_compared_are_told_before_anything_runs(toy, tmp_path):
    with pytest.raises(ConfigError, match="halving: objective 'latency_ratio' is not known"):
        search(Sweep(**toy, objectives="accuracy-size-latency", out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_switch_or_settings():
    assert Sweep().halving is None
    assert Sweep(halving=True).halving == Halving()
    assert Sweep(halving=False).halving is None
    for before in ({}, {"halving": True}, {"halving": None}, {"halving": {"grace": 0.5}}):
        changed = Sweep.from_dict(before, {"halving.eta": 5}).halving
        assert changed.eta == 5
        assert changed.grace == (0.5 if before.get("halving", None) not in (None, True) else 0.0)
    assert Sweep.from_dict(Sweep(halving=True).to_dict()).halving == Halving()

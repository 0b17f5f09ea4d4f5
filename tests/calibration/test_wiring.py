"""Weightings in compress(), on the command line and in trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import autocompress as ac
from autocompress import yamlio
from autocompress.calibration import cache, calibrate
from autocompress.cli.app import app
from autocompress.data import Data
from autocompress.data.split import TensorSplit
from autocompress.errors import DataError, PlanError
from autocompress.lc import Trainer

RECIPE = ac.LC(mu=ac.MuSchedule(start=1e-2, factor=1.5, steps=3), batch_size=64)


def plan(weighting: str, density: float = 0.05) -> ac.Plan:
    return ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density), weighting=weighting)])


def same(a: ac.Compressed, b: ac.Compressed) -> bool:
    pairs = zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_direct_pruning_keeps_what_costs_most(digits: Data, digits_cnn: nn.Module) -> None:
    task = plan("fisher").resolve(digits_cnn).tasks[0]
    norm = calibrate(digits_cnn, plan("fisher"), digits).weighting(task, digits_cnn)
    params = dict(digits_cnn.named_parameters())
    flat = torch.cat([params[n].detach().reshape(-1) for n in task.params]).double()
    score = norm.vector.double() * flat.square()
    keep = score.argsort(descending=True)[: round(0.05 * len(flat))].sort().values
    result = ac.compress(digits_cnn, plan("fisher"), ac.Direct(), digits)
    assert torch.equal(result.codes["all"].index, keep)
    assert not same(result, ac.compress(digits_cnn, plan("identity"), ac.Direct(), digits))


def test_identity_equals_none_and_measures_nothing(
    digits: Data, digits_cnn: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path))
    cache.forget()
    task = ac.Task("all", ["*.weight"], ac.Prune(0.05))
    plain = ac.compress(digits_cnn, ac.Plan([task]), RECIPE, digits)
    assert same(plain, ac.compress(digits_cnn, plan("identity"), RECIPE, digits))
    assert not list(tmp_path.iterdir())


def test_given_statistics_are_used(digits: Data, digits_cnn: nn.Module) -> None:
    few = calibrate(digits_cnn, plan("fisher"), digits, samples=32)
    ours = ac.compress(digits_cnn, plan("fisher"), ac.Direct(), digits, statistics=few)
    assert not same(ours, ac.compress(digits_cnn, plan("fisher"), ac.Direct(), digits))


@pytest.mark.parametrize("fresh", [False, True], ids=["cached", "measured again"])
def test_an_interrupted_run_goes_on_bit_for_bit(
    digits: Data,
    digits_cnn: nn.Module,
    tmp_path: Path,
    fresh: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = ac.compress(digits_cnn, plan("activations"), RECIPE, digits)
    path = tmp_path / "state.safetensors"
    stopped = ac.compress(
        digits_cnn,
        plan("activations"),
        RECIPE,
        digits,
        checkpoint=path,
        on_step=lambda record: record.step == 1,
    )
    assert stopped.status == "stopped"
    cache.forget()
    if fresh:
        monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path / "empty"))
    assert same(
        ac.compress(digits_cnn, plan("activations"), RECIPE, digits, checkpoint=path), whole
    )


def test_what_cannot_be_measured_is_told_before_any_training(
    digits: Data, digits_cnn: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "learn", None)
    x, y = next(iter(digits.train.batches(len(digits.train))))
    x = x.clone()
    x[5] = float("inf")
    bad = dataclasses.replace(digits, train=TensorSplit(x, y), digest="bad")
    with pytest.raises(DataError, match="NaN or infinity"):
        ac.compress(digits_cnn, plan("fisher"), RECIPE, bad)
    with pytest.raises(PlanError, match="has no C step under the weighting 'covariance'"):
        plan("covariance")


def test_on_the_command_line(tmp_path: Path, digits: Data, digits_cnn: nn.Module) -> None:
    file, out = tmp_path / "plan.yaml", tmp_path / "small.safetensors"
    data = {**plan("fisher", 0.1).to_dict(), "recipe": {"method": "direct"}}
    assert data["tasks"][0]["weighting"] == "fisher"
    file.write_text(yamlio.dumps(data))
    done = CliRunner().invoke(app, ["compress", "--plan", str(file), "--out", str(out)])
    assert done.exit_code == 0, done.output
    ours = ac.compress(digits_cnn, plan("fisher", 0.1), ac.Direct(), digits)
    assert same(ac.load(out, digits_cnn), ours)

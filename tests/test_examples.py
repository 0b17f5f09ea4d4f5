"""The examples run, in small."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from autocompress import data, models, yamlio
from autocompress.config import Sweep
from autocompress.recipe import Candidate

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_quickstart(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(EXAMPLES / "quickstart.py"))
    assert names["result"].size.ratio > 10
    assert names["after"].accuracy > 0.9
    assert "test accuracy" in capsys.readouterr().out


def test_the_plan_fits_its_model() -> None:
    candidate = Candidate.from_dict(yamlio.load(EXAMPLES / "plan.yaml"))
    model: nn.Module = models.build("lenet300", input_shape=(1, 28, 28), classes=10)
    assert len(candidate.plan.resolve(model).tasks) == 2


def test_the_sweep_is_valid() -> None:
    sweep = Sweep.from_file(EXAMPLES / "sweep.yaml", {"data_root": os.devnull})
    assert (sweep.model, sweep.objectives, sweep.trials) == (
        "lenet300",
        "accuracy-size-latency",
        24,
    )


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few images of noise in place of MNIST, and untrained references."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.rand(count, 1, 28, 28, generator=generator), torch.arange(count) % 10

    few = data.from_tensors(train=images(40), val=images(20), test=images(20))
    monkeypatch.setattr(data, "load", lambda name, root: few)
    monkeypatch.setattr(
        models, "load", lambda name, data, seed: models.build(name, data, seed=seed)
    )


@pytest.mark.parametrize(
    ("name", "arguments", "rows"),
    [
        ("lenet300_mnist", ["--seeds", "0"], 7),
        ("lenet5_mem", ["--finetune", "1"], 3),
    ],
)
def test_the_mnist_examples_run_in_small(
    name: str,
    arguments: list[str],
    rows: int,
    small_mnist: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = ["--data-root", "x", "--steps", "1", "--epochs", "1", *arguments]
    folders = ["--checkpoints", str(tmp_path / "ck"), "--out", str(tmp_path / "results.json")]
    monkeypatch.setattr(sys, "argv", [name, *quick, *folders])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == rows
    table = (tmp_path / "results.md").read_text()
    assert table in capsys.readouterr().out
    assert all(result["what"] in table for result in results)


@pytest.mark.parametrize("name", ["lenet300_mnist.py", "lenet5_mem.py"])
def test_the_mnist_examples_explain_themselves(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert caught.value.code == 0
    assert "--data-root" in capsys.readouterr().out

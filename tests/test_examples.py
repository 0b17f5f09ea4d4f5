"""The examples run, in small."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest
from torch import nn

from autocompress import models, yamlio
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


def test_the_mnist_example_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lenet300_mnist.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(EXAMPLES / "lenet300_mnist.py"), run_name="__main__")
    assert caught.value.code == 0
    assert "--data-root" in capsys.readouterr().out

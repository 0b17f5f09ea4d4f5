"""Shared real input: scikit-learn's digits and a small network trained on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import nn

from autocompress import data as ac_data
from autocompress import models as ac_models
from autocompress.data import Data
from autocompress.report import build as report
from tests.away import away

_render = report.render
_PICTURES = ("png", "pdf", "svg")

# a busy machine is slow, not wrong
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _quiet_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One thread per test process, and a reference cache that is not the user's."""
    torch.set_num_threads(1)
    before = os.environ.get("AUTOCOMPRESS_CACHE")
    os.environ["AUTOCOMPRESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["AUTOCOMPRESS_CACHE"]
    else:
        os.environ["AUTOCOMPRESS_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _no_pictures() -> Iterator[None]:
    """Write stubs in place of a report's pictures, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "render", lambda figure: {k: k.encode() for k in _PICTURES})
        yield


@pytest.fixture(
    params=[
        "away",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Give another device than the CPU: one that is not there, and a GPU if there is one."""
    if request.param == "cuda":
        yield torch.device("cuda")
        return
    with away() as found:
        yield found


@pytest.fixture
def real_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures as they are, for tests that ask for them."""
    monkeypatch.setattr(report, "render", _render)


@pytest.fixture(scope="session")
def digits() -> Data:
    return ac_data.load("digits")


@pytest.fixture(scope="session")
def digits_cnn(digits: Data, _quiet_machine: None) -> nn.Module:
    return ac_models.load("digits-cnn", digits)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"

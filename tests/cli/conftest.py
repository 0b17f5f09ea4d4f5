"""A finished run on digits, and how to call the command line."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autocompress.cli import main

SWEEP = """
model: digits-cnn
data: digits
space:
  layers:
    - match: "*"
      schemes:
        - {scheme: prune, density: {low: 0.1, high: 0.9}}
        - {scheme: codebook, k: {choice: [4, 8, 16]}}
  recipe: {mu: {steps: 2}}
trials: 3
jobs: 0
"""


@pytest.fixture
def run(capfd):
    """Call the command line in this process; returns code, out and err."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(x) for x in arguments])
        captured = capfd.readouterr()
        return SimpleNamespace(code=ended.value.code, out=captured.out, err=captured.err)

    return call


@pytest.fixture(scope="session")
def sweep_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory, sweep_file, digits_cnn):
    """The folder of a finished run; tests only read it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.raises(SystemExit) as ended:
        main(["search", str(sweep_file), "--out", str(out), "--quiet"])
    assert ended.value.code == 0
    return out


@pytest.fixture(scope="session")
def python():
    return [sys.executable, "-m", "autocompress"]


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    import shutil

    target = Path(tmp_path) / finished.name
    shutil.copytree(finished, target)
    return target

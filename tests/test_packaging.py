"""The ready-made YAML files reach the wheel, the installation and a bare checkout alike."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autocompress import catalog

CHECKOUT = Path(__file__).resolve().parent.parent
LIST = "from autocompress import catalog as c; print(c.names(c.SPACES), c.names(c.OBJECTIVES))"
EXPECTED = f"{catalog.names(catalog.SPACES)} {catalog.names(catalog.OBJECTIVES)}"


def _listing(path: Path, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    code = f"import autocompress; assert autocompress.__file__.startswith({str(path)!r}); {LIST}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").exists(), reason="not run from a checkout")
def test_a_bare_checkout_has_them(tmp_path: Path) -> None:
    assert _listing(CHECKOUT, tmp_path) == EXPECTED


@pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").exists(), reason="not run from a checkout")
def test_the_wheel_carries_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(unpacked)
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"autocompress"}
    assert "autocompress/py.typed" in names
    assert _listing(unpacked, tmp_path) == EXPECTED


def test_the_ready_made_files_of_the_readme_exist() -> None:
    assert {"uniform-prune", "per-layer-prune", "quantize", "low-rank", "mixed"} <= set(
        catalog.names(catalog.SPACES)
    )
    assert {"accuracy-size", "accuracy-flops", "accuracy-size-latency"} <= set(
        catalog.names(catalog.OBJECTIVES)
    )

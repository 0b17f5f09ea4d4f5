"""What was measured is kept: in memory, in a folder, between processes."""

from __future__ import annotations

import copy
import multiprocessing
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autocompress.calibration import cache, calibrate
from autocompress.data import Data
from autocompress.errors import AutocompressWarning


def test_a_second_measurement_comes_from_memory_then_from_the_folder(
    odd: nn.Module, odd_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {
        "fisher": ["out.weight", "norm.weight"],
        "activations": ["stem.weight"],
        "covariance": ["along.weight"],
    }
    first = calibrate(odd, needs, odd_data, cache=tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 4  # what is not measured with all layers at once has its own
    calls: list[int] = []
    handle = odd.register_forward_pre_hook(lambda *_: calls.append(1))
    for forget in (False, True):
        if forget:
            cache.forget()
        again = calibrate(odd, needs, odd_data, cache=tmp_path)
        assert not calls
        for kind, values in first.values.items():
            assert all(torch.equal(v, again.values[kind][n]) for n, v in values.items())
    # another layer was measured along with the first
    calibrate(odd, {"fisher": ["stem.weight"]}, odd_data, cache=tmp_path)
    assert not calls
    # other settings, other data, other weights: measured
    calibrate(odd, {"fisher": ["out.weight"]}, odd_data, samples=5, cache=tmp_path)
    assert calls
    calls.clear()
    changed = copy.deepcopy(odd)
    with torch.no_grad():
        changed.out.bias.add_(1)
    calibrate(changed, {"fisher": ["out.weight"]}, odd_data, cache=tmp_path)
    assert calls
    calls.clear()
    own = {"fisher": ["out.weight"]}
    for _ in range(2):  # a loss of one's own cannot be told from another: not kept
        calls.clear()
        doubled = calibrate(
            odd, own, odd_data, loss=lambda x, y: 2 * F.cross_entropy(x, y), cache=tmp_path
        )
        assert calls
    handle.remove()
    torch.testing.assert_close(
        doubled.values["fisher"]["out.weight"], 4 * first.values["fisher"]["out.weight"]
    )


def test_a_damaged_or_foreign_file_is_measured_again(
    odd: nn.Module, odd_data: Data, tmp_path: Path
) -> None:
    needs = {"activations": ["stem.weight"]}
    first = calibrate(odd, needs, odd_data, cache=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    whole = file.read_bytes()
    for damage in (whole[:40], b"", whole.replace(b"activations-", b"activationz-")):
        file.write_bytes(damage)
        cache.forget()
        with pytest.warns(AutocompressWarning, match="cannot be used"):
            again = calibrate(odd, needs, odd_data, cache=tmp_path)
        name = "stem.weight"
        assert torch.equal(again.values["activations"][name], first.values["activations"][name])
        assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_told(
    odd: nn.Module, odd_data: Data, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(AutocompressWarning, match="could not be kept"):
        calibrate(odd, {"activations": ["stem.weight"]}, odd_data, cache=tmp_path / "file")


def hold(folder: Path, ready: str, seconds: float) -> None:
    with cache.Cache(folder).lock("k"):
        Path(ready).touch()
        time.sleep(seconds)
        (folder / "done").touch()


def test_processes_wait_for_the_one_that_measures(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    ready = tmp_path / "ready"
    worker = multiprocessing.get_context("fork").Process(
        target=hold, args=(tmp_path, str(ready), 0.3)
    )
    worker.start()
    while not ready.exists():
        time.sleep(0.01)
    with cache.Cache(tmp_path).lock("k"):
        assert (tmp_path / "done").exists()
    worker.join()

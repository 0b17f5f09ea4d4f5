"""One pass over the data, in parts; errors before any training."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from autocompress.calibration import calibrate, fisher, moments
from autocompress.data import Data
from autocompress.data.split import TensorSplit
from autocompress.errors import ConfigError, DataError, ModelError, UnknownName
from tests.calibration.odd import LAYERS, SIDE


@pytest.mark.parametrize("kind", ["fisher", "activations", "covariance"])
def test_streaming_equals_one_batch(
    odd: nn.Module, odd_data: Data, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {kind: [f"{name}.weight" for name in LAYERS if "ed" not in name]}
    whole = calibrate(odd, needs, odd_data, cache=False)
    monkeypatch.setattr(moments, "_CHUNK", 50)
    monkeypatch.setattr(fisher, "_CHUNK", 50)
    parts = calibrate(odd, needs, odd_data, batch_size=5, cache=False)
    for name, value in whole.values[kind].items():
        torch.testing.assert_close(parts.values[kind][name], value, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("needs", "error", "message"),
    [
        ({"activations": ["spare.weight"]}, ModelError, r"'spare.weight'.*never calls it.*Leave"),
        ({"fisher": ["spare.weight"]}, ModelError, r"'spare.weight': the loss does not depend"),
        ({"covariance": ["twice.weight"]}, ModelError, r"'twice.weight'.*calls it 2 times"),
        ({"activations": ["twice.weight"]}, ModelError, r"'twice.weight'.*calls it 2 times"),
        ({"covariance": ["grouped.weight"]}, ModelError, r"2 groups.*'activations' or 'ident"),
        ({"hessian": ["out.weight"]}, UnknownName, r"calibration: unknown statistic 'hessian'"),
        ({"fisher": ["ouch.weight"]}, UnknownName, r"did you mean 'out.weight'"),
    ],
)
def test_what_cannot_be_measured_is_said(
    odd: nn.Module, odd_data: Data, needs: dict[str, list[str]], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(odd, needs, odd_data, cache=False)


def test_bad_data_and_settings(odd: nn.Module, odd_data: Data) -> None:
    needs = {"fisher": ["out.weight"]}
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="samples"):
            calibrate(odd, needs, odd_data, samples=bad, cache=False)  # type: ignore[arg-type]
    empty = TensorSplit(torch.empty(0, 2, SIDE, SIDE), torch.empty(0, dtype=torch.int64))
    with pytest.raises(DataError, match="the training split has none"):
        calibrate(odd, needs, dataclasses.replace(odd_data, train=empty), cache=False)
    x, y = next(iter(odd_data.train.batches(24)))
    x = x.clone()
    x[13, 0, 2, 2] = float("nan")
    broken = dataclasses.replace(odd_data, train=TensorSplit(x, y), digest="broken")
    with pytest.raises(DataError, match="NaN or infinity"):
        calibrate(odd, needs, broken, cache=False)
    with pytest.raises(DataError, match="NaN or infinity"):
        calibrate(odd, {"covariance": ["out.weight"]}, broken, batch_size=4, cache=False)


def test_statistics_that_are_not_finite_name_the_layer(odd: nn.Module, odd_data: Data) -> None:
    broken = copy.deepcopy(odd)
    with torch.no_grad():
        broken.mix.bias[2] = float("nan")
    for kind in ("fisher", "activations", "covariance"):
        with pytest.raises(ModelError, match=rf"'{kind}'.*'out.weight': its .* not finite"):
            calibrate(broken, {kind: ["out.weight"]}, odd_data, cache=False)

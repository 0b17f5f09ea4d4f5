"""Second moments of inputs against those of inputs written out."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import autocompress as ac
from autocompress.calibration import calibrate, moments
from autocompress.compression.weighting import Diagonal
from autocompress.data import Data
from autocompress.errors import ModelError
from tests.calibration.odd import LAYERS


def inputs_of(model: nn.Module, name: str, data: Data) -> Tensor:
    """All inputs a layer sees."""
    found: list[Tensor] = []
    layer = model.get_submodule(name)

    def keep(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        found.append((args[0] if args else kwargs["input"]).detach().clone())

    handle = layer.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad():
        model(next(iter(data.train.batches(len(data.train))))[0])
    handle.remove()
    return torch.cat(found)


def explicit_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """``(groups, rows, in/groups * kernel)``: each output's inputs read off with unit weights."""
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1]).double()
    width = layer.weight[0].numel()
    columns = []
    for column in range(width):
        probe = copy.deepcopy(layer).double()
        probe.weight.data.zero_()
        probe.weight.data.reshape(len(layer.weight), -1)[:, column] = 1
        probe.bias = None
        with torch.no_grad():
            out = probe(x.double())
        first = out.reshape(len(x), layer.groups, -1, out[0, 0].numel())[:, :, 0]
        columns.append(first.transpose(0, 1).reshape(layer.groups, -1))
    return torch.stack(columns, 2)


@pytest.mark.parametrize("name", LAYERS)
def test_moments_equal_those_of_unfolded_inputs(odd: nn.Module, odd_data: Data, name: str) -> None:
    layer = odd.get_submodule(name)
    rows = explicit_rows(layer, inputs_of(odd, name, odd_data))
    weight = f"{name}.weight"
    task = ac.Task("t", [weight], ac.Prune(0.5), weighting="activations")
    found = calibrate(odd, {"activations": [weight]}, odd_data, batch_size=7, cache=False)
    diagonal = found.weighting(task, odd)
    assert isinstance(diagonal, Diagonal)
    expected = rows.square().mean(1)  # (groups, in/groups * kernel)
    expected = expected.repeat_interleave(layer.weight.shape[0] // len(expected), 0)
    expected = (expected / expected.mean()).reshape(layer.weight.shape)
    torch.testing.assert_close(diagonal.values[0].double(), expected, rtol=1e-5, atol=1e-9)
    assert diagonal.values[0].shape == layer.weight.shape
    if len(rows) > 1:
        return
    raw = calibrate(odd, {"covariance": [weight]}, odd_data, batch_size=7, cache=False)
    product = rows[0].T @ rows[0] / rows.shape[1]
    torch.testing.assert_close(
        raw.values["covariance"][weight].double(), product, rtol=1e-4, atol=1e-6
    )


def test_a_covariance_measures_the_change_of_the_outputs(odd: nn.Module, odd_data: Data) -> None:
    x = inputs_of(odd, "along", odd_data)
    error = torch.randn(odd.along.weight.shape, generator=torch.Generator().manual_seed(0))
    change = F.conv1d(x, error, None, odd.along.stride, odd.along.padding)
    found = calibrate(odd, {"covariance": ["along.weight"]}, odd_data, cache=False)
    matrix = found.values["covariance"]["along.weight"]
    rows = error.flatten(1)
    ours = float(((rows @ matrix) * rows).sum())
    assert ours == pytest.approx(float(change.square().sum(1).mean()), rel=1e-4)


def test_too_wide_a_layer_is_refused_before_anything_runs(
    odd: nn.Module, odd_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "MAX_WIDTH", 17)
    with pytest.raises(ModelError, match=r"'along.weight'.*18 inputs would need .* limit is 17"):
        calibrate(odd, {"covariance": ["along.weight"]}, odd_data, cache=False)

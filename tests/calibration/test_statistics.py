"""Norms of tasks from what was measured."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.calibration import Statistics, calibrate
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.data import Data
from autocompress.errors import AutocompressWarning, ModelError
from tests.calibration.odd import SIDE


def test_norms_of_tasks_have_mean_one_and_the_shapes_of_their_parameters(
    digits: Data, digits_cnn: nn.Module
) -> None:
    plan = ac.Plan(
        [
            ac.Task("convs", ["conv*.weight"], ac.StructurePrune(0.5), weighting="activations"),
            ac.Task("fcs", ["fc*"], ac.Prune(0.5), weighting="fisher"),
        ]
    ).resolve(digits_cnn)
    statistics = calibrate(digits_cnn, plan, digits, samples=64)
    assert statistics.settings["samples"] == 64
    params = dict(digits_cnn.named_parameters())
    found = statistics.weightings(plan, digits_cnn)
    for task in plan.tasks:
        norm = found[task.name]
        assert isinstance(norm, Diagonal)
        norm.check(tuple(tuple(params[n].shape) for n in task.params))
        assert float(norm.vector.double().mean()) == pytest.approx(1)
    # the relative scale of the parameters of one task is kept: a bias is multiplied with 1
    raw = statistics.values["activations"]["conv2.weight"]
    convs = found["convs"]
    assert isinstance(convs, Diagonal)
    weight, bias = convs.values[2][0], convs.values[3]
    torch.testing.assert_close((weight / bias[0]).double(), raw[0], rtol=1e-5, atol=1e-9)


def test_a_covariance_task(digits: Data, digits_cnn: nn.Module) -> None:
    weights = ("conv2.weight", "fc1.weight", "fc1.bias")
    found = calibrate(digits_cnn, {"covariance": weights}, digits, samples=100)
    task = dataclasses.replace(ac.Task("t", weights, ac.Dense()))
    object.__setattr__(task, "weighting", "covariance")
    norm = found.weighting(task, digits_cnn)
    assert isinstance(norm, Covariance)
    params = dict(digits_cnn.named_parameters())
    norm.check(tuple(tuple(params[n].shape) for n in weights))
    assert norm.matrices[2] is None
    total = sum(len(params[n]) * float(norm.matrices[i].trace()) for i, n in enumerate(weights[:2]))
    assert total == pytest.approx(sum(params[n].numel() for n in weights[:2]), rel=1e-5)
    assert all(float(torch.linalg.eigvalsh(m.double()).min()) > -1e-4 for m in norm.matrices[:2])


def test_a_layer_without_influence_is_compressed_without_weighting(odd_data: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        model[1].bias.fill_(-1e4)
    task = ac.Task("dead", ["3.weight"], ac.Prune(0.5), weighting="activations")
    found = calibrate(model, ac.Plan([task]), odd_data, cache=False)
    with pytest.warns(AutocompressWarning, match="'dead': .* zero throughout"):
        norm = found.weighting(task, model)
    assert isinstance(norm, Diagonal)
    assert torch.equal(norm.values[0], torch.ones(3, 4))
    wide = calibrate(model, {"covariance": ["3.weight"]}, odd_data, cache=False)
    object.__setattr__(task, "weighting", "covariance")
    with pytest.warns(AutocompressWarning, match="zero throughout"):
        norm = wide.weighting(task, model)
    assert isinstance(norm, Covariance)
    assert torch.equal(norm.matrices[0], torch.eye(4))


def test_what_was_not_measured_is_said(odd: nn.Module) -> None:
    task = ac.Task("t", ["out.weight"], ac.Prune(0.5), weighting="fisher")
    with pytest.raises(ModelError, match=r"'t': 'fisher' was not measured for 'out\.weight'"):
        Statistics({}).weighting(task, odd)
    assert Statistics({}).weighting(ac.Task("t", ["out.weight"], ac.Prune(0.5)), odd) is None

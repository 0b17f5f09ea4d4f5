"""Regularizers in the L step: against autograd, what they lead to, errors, no cost without any."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from optuna.trial import FixedTrial
from torch import nn

import autocompress as ac
from autocompress.data import Data
from autocompress.errors import ConfigError, PlanError, UnknownName
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.lc import LStep, Penalty, Trainer
from autocompress.lc.regularizers import bind
from autocompress.recipe import LC, SGD
from autocompress.regularizers import L1, SCAD, GroupLasso, Hoyer, NuclearNorm, Regularizer

NOTHING = Penalty([], [], None, 0.0)


def learn(
    model: nn.Module, data: Data, *regularizers: Regularizer, epochs: int = 1, lr: float = 0.05
) -> nn.Module:
    recipe = LC(optimizer=SGD(lr=lr), batch_size=64, regularizers=regularizers)
    worked_on = copy.deepcopy(model)
    Trainer(data, recipe, seed=3).learn(worked_on, NOTHING, LStep(0, 0.0, lr, epochs))
    return worked_on


def test_gradient_mode_is_training_on_the_sum(digits: Data, digits_cnn: nn.Module) -> None:
    ours = learn(
        digits_cnn,
        digits,
        L1(strength=1e-3),
        Hoyer(strength=1e-2, params=("fc*.weight", "!fc2.weight"), every=2),
    )
    slow = copy.deepcopy(digits_cnn)
    optimizer = torch.optim.SGD(slow.parameters(), 0.05, 0.9, nesterov=True)
    generator = torch.Generator().manual_seed(3)
    slow.train()
    for i, (x, y) in enumerate(digits.train.batches(64, generator=generator)):
        optimizer.zero_grad()
        loss = F.cross_entropy(slow(x), y)
        for name, param in slow.named_parameters():
            if name.endswith("weight"):
                loss = loss + 1e-3 * param.abs().sum()
        fc1 = slow.fc1.weight
        if i % 2 == 0:
            loss = loss + 2 * 1e-2 * fc1.abs().sum() / fc1.norm()
        loss.backward()
        optimizer.step()
    for a, b in zip(ours.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_proximal_mode_follows_the_optimizers_step(digits: Data, digits_cnn: nn.Module) -> None:
    ours = learn(digits_cnn, digits, L1(strength=1e-2, mode="proximal", params="fc1.weight"))
    slow = copy.deepcopy(digits_cnn)
    optimizer = torch.optim.SGD(slow.parameters(), 0.05, 0.9, nesterov=True)
    slow.train()
    for x, y in digits.train.batches(64, generator=torch.Generator().manual_seed(3)):
        optimizer.zero_grad()
        F.cross_entropy(slow(x), y).backward()
        optimizer.step()
        with torch.no_grad():
            slow.fc1.weight.copy_(F.softshrink(slow.fc1.weight, 0.05 * 1e-2))
    for a, b in zip(ours.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_each_leads_to_what_it_is_for(digits: Data, digits_cnn: nn.Module) -> None:
    proximal: dict[str, object] = {"mode": "proximal", "params": ("fc1.weight",)}
    plain = learn(digits_cnn, digits, epochs=2).fc1.weight
    sparse = learn(digits_cnn, digits, SCAD(strength=0.05, **proximal), epochs=2).fc1.weight
    assert int((sparse == 0).sum()) > 0.3 * sparse.numel()
    assert int((plain == 0).sum()) == 0
    groups = learn(digits_cnn, digits, GroupLasso(strength=0.04, **proximal), epochs=2).fc1.weight
    assert int((groups.norm(dim=1) == 0).sum()) > 0
    low = learn(digits_cnn, digits, NuclearNorm(strength=0.5, **proximal), epochs=2).fc1.weight
    assert torch.linalg.matrix_rank(low, rtol=1e-4) < torch.linalg.matrix_rank(plain, rtol=1e-4)


def test_no_regularizer_is_no_object_at_all(digits_cnn: nn.Module) -> None:
    assert bind(digits_cnn, ()) is None


@pytest.mark.parametrize(
    ("regularizer", "error", "message"),
    [
        (L1(strength=1, params="fx*"), PlanError, r"regularizer 'l1': pattern 'fx\*' matches no"),
        (L1(strength=1, params="fc1.wait"), UnknownName, r"regularizer 'l1': .*'fc1.weight'"),
        (
            NuclearNorm(strength=1, params="fc1.*"),
            ConfigError,
            r"'nuclear-norm' is of matrices .*'fc1.bias' has shape \(64,\)",
        ),
        (
            Hoyer(strength=1, over="inputs", params="fc1.bias"),
            ConfigError,
            r"'hoyer' is of matrices",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_any_training(
    digits: Data,
    digits_cnn: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    regularizer: Regularizer,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(Trainer, "learn", None)
    plan = ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(0.1))])
    with pytest.raises(error, match=message):
        ac.compress(digits_cnn, plan, LC(regularizers=(regularizer,)), digits)


def test_an_interrupted_run_goes_on_bit_for_bit(
    digits: Data, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    plan = ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(0.1))])
    recipe = LC(
        mu=ac.MuSchedule(start=1e-2, factor=1.5, steps=2),
        batch_size=64,
        regularizers=(Hoyer(strength=1e-3, every=3),),
    )
    whole = ac.compress(digits_cnn, plan, recipe, digits)
    path = tmp_path / "state.safetensors"
    ac.compress(
        digits_cnn, plan, recipe, digits, checkpoint=path, on_step=lambda record: record.step == 1
    )
    again = ac.compress(digits_cnn, plan, recipe, digits, checkpoint=path)
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


SPACE = """
layers:
  - {match: "*", schemes: [{scheme: prune, density: 0.1}]}
recipe:
  regularizers:
    choice:
      - []
      - - {name: scad, strength: {low: 1e-5, high: 1e-3, log: true}, threshold: 0.1}
        - {name: nuclear-norm, strength: 1e-4, every: {low: 1, high: 8}}
      - [{name: l1, strength: 1e-4, mode: {choice: [gradient, proximal]}}]
"""


def test_in_a_search_space(digits_cnn: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    space = SearchSpace.load(path)
    layers = find_layers(digits_cnn)
    both = "scad+nuclear-norm"
    chooser = FixedTrial(
        {
            "recipe.regularizers": both,
            f"recipe.regularizers.{both}.scad.strength": 1e-4,
            f"recipe.regularizers.{both}.nuclear-norm.every": 4,
        }
    )
    recipe = space.sample(chooser, layers).recipe
    assert recipe == LC(
        regularizers=(SCAD(strength=1e-4, threshold=0.1), NuclearNorm(strength=1e-4, every=4))
    )
    none = space.sample(FixedTrial({"recipe.regularizers": "none"}), layers).recipe
    assert none == LC()
    again = SearchSpace.from_dict(space.to_dict())
    assert again.to_dict() == space.to_dict()
    path.write_text(SPACE.replace("low: 1e-5", "low: 1e-5").replace("1e-4, every", "0, every"))
    with pytest.raises(ConfigError, match=r"space.yaml: recipe.*strength = 0"):
        SearchSpace.load(path)

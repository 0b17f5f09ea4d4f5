"""Schemes with penalties in the loop: what they solve, at which mu, and which step is returned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autocompress import lc
from autocompress.compression import L0Penalty, L1Penalty, Prune, RankSelection
from autocompress.compression.weighting import Diagonal
from autocompress.data import Data
from autocompress.errors import PlanError
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, SGD, Direct, MuSchedule
from tests.lc.test_loop import ExactLearner


def linear(values: Tensor) -> nn.Module:
    model = nn.Linear(values.shape[1], values.shape[0], bias=False)
    model.weight.data = values.clone()
    return model


def solve(scheme: L0Penalty | L1Penalty, target: Tensor) -> tuple[Tensor, lc.Solution]:
    recipe = LC(mu=MuSchedule(start=0.1, factor=1.3, steps=60), epochs_per_step=1)
    plan = Plan([Task("w", "weight", scheme)])
    solution = lc.run(linear(target), plan, recipe, ExactLearner(target))
    (decoded,) = solution.best.codes["w"].decode()
    return decoded, solution


def test_an_l1_penalty_ends_at_the_known_minimum() -> None:
    """min ½‖w − a‖² + α‖w‖₁ is soft thresholding of a at α."""
    target = torch.tensor([[3.0, -0.2, 0.5, -1.5]])
    decoded, solution = solve(L1Penalty(alpha=0.4), target)
    expected = torch.sign(target) * (target.abs() - 0.4).clamp(min=0)
    assert torch.allclose(decoded, expected, atol=5e-3)
    assert solution.best.record.step == solution.history[-1].step


def test_an_l0_penalty_keeps_what_is_worth_it() -> None:
    """min ½‖w − a‖² + α‖w‖₀ keeps entries above √(2α)."""
    target = torch.tensor([[3.0, -0.2, 0.5, -1.5]])
    decoded, _ = solve(L0Penalty(alpha=0.4), target)
    assert torch.allclose(decoded, torch.where(target.abs() > 0.8**0.5, target, 0), atol=5e-3)


def test_direct_compression_is_at_the_first_mu(digits: Data, digits_cnn: nn.Module) -> None:
    plan = Plan([Task("all", ["*.weight"], L0Penalty(alpha=1e-3))])
    recipe = LC(mu=MuSchedule(start=0.5, factor=1.5, steps=2), optimizer=SGD(lr=0.05))
    solution = lc.run(digits_cnn, plan, recipe, lc.Trainer(digits, recipe))
    assert solution.history[0].mu == 0.5
    assert solution.history[0].bits > 1000  # at mu = 0 nothing at all would be left
    assert solution.best.record.step == 2


def test_direct_recipes_have_a_mu_too(digits: Data, digits_cnn: nn.Module) -> None:
    plan = Plan([Task("fc", ["fc1.weight"], RankSelection(alpha=1e-4))])
    solution = lc.run(digits_cnn, plan, Direct(), lc.Trainer(digits, LC()))
    assert solution.history[0].mu == 1.0


def test_a_weighting_that_nobody_measured_is_refused(digits: Data, digits_cnn: nn.Module) -> None:
    plan = Plan([Task("all", ["*.weight"], Prune(density=0.1), weighting="fisher")])
    with pytest.raises(PlanError, match=r"'all'.*compress"):
        lc.run(digits_cnn, plan, Direct(), lc.Trainer(digits, LC()))


def test_multipliers_stay_zero_under_another_norm(digits: Data, digits_cnn: nn.Module) -> None:
    plan = Plan(
        [
            Task("weighted", "fc1.weight", Prune(density=0.1), weighting="fisher"),
            Task("plain", "fc2.weight", Prune(density=0.1)),
        ]
    )
    recipe = LC(mu=MuSchedule(start=0.1, factor=1.5, steps=2), epochs_per_step=1)
    norm = Diagonal((torch.rand_like(digits_cnn.get_parameter("fc1.weight")),))
    states: list[lc.State] = []
    lc.run(
        digits_cnn,
        plan,
        recipe,
        lc.Trainer(digits, recipe),
        weightings={"weighted": norm},
        on_state=states.append,
    )
    assert not states[-1].multipliers["fc1.weight"].any()
    assert states[-1].multipliers["fc2.weight"].any()


def test_the_weighting_decides_what_survives() -> None:
    target = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    plan = Plan([Task("w", "weight", Prune(density=0.5), weighting="fisher")])
    norm = Diagonal((torch.tensor([[100.0, 0.0, 100.0, 0.0]]),))
    solution = lc.run(linear(target), plan, Direct(), ExactLearner(target), weightings={"w": norm})
    (decoded,) = solution.best.codes["w"].decode()
    assert torch.equal(decoded, torch.tensor([[1.0, 0.0, 3.0, 0.0]]))

"""The automatic mu schedule."""

from __future__ import annotations

import pytest
from torch import nn

from autocompress import lc
from autocompress.compression import Additive, Cast, Codebook, Compose, LowRank, Prune
from autocompress.data import Data
from autocompress.lc.auto_mu import Problem, resolve
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, SGD, Adam, MuSchedule

PROBLEM = Problem(distance=100.0, loss_increase=1.0, iterations=4700)


def test_grows_as_in_the_lc_papers_at_their_40_steps() -> None:
    recipe = LC(mu=MuSchedule(steps=40), optimizer=SGD(lr=0.1, momentum=0.9))
    schedule = resolve(recipe, Problem(distance=1.0, loss_increase=0.0, iterations=4700))
    assert schedule.factor == pytest.approx(1.1, abs=0.01)
    assert 3e-5 < float(schedule.start) < 3e-4  # theirs: 9e-5


@pytest.mark.parametrize("steps", [1, 2, 8, 20, 40])
@pytest.mark.parametrize("optimizer", [SGD(lr=0.1), Adam()], ids=lambda o: o.name)
def test_spans_what_the_loss_asks_for(steps: int, optimizer: SGD | Adam) -> None:
    schedule = resolve(LC(mu=MuSchedule(steps=steps), optimizer=optimizer), PROBLEM)
    balance = 2 * PROBLEM.loss_increase / PROBLEM.distance
    assert 0 < schedule.at(0) <= balance
    if steps > 1:
        assert schedule.at(steps - 1) >= 0.49 * balance


def test_scale_multiplies_an_automatic_start_only() -> None:
    plain, scaled = (resolve(LC(mu=MuSchedule(scale=s)), PROBLEM).at(0) for s in (1.0, 0.5))
    assert scaled == pytest.approx(plain / 2)
    fixed = LC(mu=MuSchedule(start=1e-3, scale=0.5))
    assert resolve(fixed, PROBLEM).at(0) == 1e-3


def test_plans_without_discrete_choices_are_pulled_harder() -> None:
    smooth = Problem(100.0, 5.0, 100, smooth=True)
    discrete = Problem(100.0, 5.0, 100, smooth=False)
    for steps in (2, 8, 40):
        recipe = LC(mu=MuSchedule(steps=steps), optimizer=SGD(lr=0.1))
        ours, theirs = resolve(recipe, smooth), resolve(recipe, discrete)
        assert ours.at(0) > theirs.at(0)
        assert ours.at(steps - 1) == pytest.approx(10 * ours.at(0))


def test_smoothness_of_schemes() -> None:
    low, prune = LowRank(2), Prune(0.5)
    assert low.smooth
    assert not prune.smooth
    assert Compose([low, Cast("float16")]).smooth
    assert not Compose([low, Codebook(2)]).smooth
    assert not Additive([low, prune]).smooth


def test_longer_l_steps_start_lower() -> None:
    recipe = LC(optimizer=SGD(lr=0.1))
    short, long = (resolve(recipe, Problem(100.0, 1.0, n)).at(0) for n in (100, 1000))
    assert long < short


def test_numbers_that_are_given_are_kept() -> None:
    fixed = LC(mu=MuSchedule(start=1e-3, factor="auto", steps=10))
    assert resolve(fixed, PROBLEM).start == 1e-3
    fixed = LC(mu=MuSchedule(start="auto", factor=1.3, steps=10))
    assert resolve(fixed, PROBLEM).factor == 1.3
    assert resolve(LC(mu=MuSchedule(cap=1e-9)), PROBLEM).at(19) == 1e-9


def test_without_loss_or_distance_there_is_still_a_schedule() -> None:
    for problem in (Problem(0.0, 0.0, 10), Problem(1.0, -0.5, 10)):
        for optimizer in (SGD(), Adam()):
            schedule = resolve(LC(optimizer=optimizer), problem)
            assert schedule.at(0) > 0
            assert schedule.at(19) >= schedule.at(0)


@pytest.mark.parametrize("steps", [8, 20])
def test_first_runs_are_good(digits: Data, digits_cnn: nn.Module, steps: int) -> None:
    recipe = LC(
        mu=MuSchedule(steps=steps), optimizer=SGD(lr=0.05), batch_size=64, epochs_per_step=1
    )
    plan = Plan([Task("all", ["*.weight"], Prune(density=0.1))])
    solution = lc.run(digits_cnn, plan, recipe, lc.Trainer(digits, recipe))
    assert solution.best.record.val_accuracy > 0.94
    assert solution.history[-1].violation < solution.history[0].violation / 2

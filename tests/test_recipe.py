"""Recipes, mu schedules and candidates."""

from __future__ import annotations

import pytest
from torch import nn

from autocompress.compression import Prune
from autocompress.errors import ConfigError, UnknownName
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, SGD, Adam, Candidate, Direct, MuSchedule, recipe_from_dict


def test_mu_grows_up_to_the_cap() -> None:
    schedule = MuSchedule(start=1e-3, factor=10, steps=5, cap=0.5)
    assert [schedule.at(j) for j in range(5)] == pytest.approx([1e-3, 1e-2, 1e-1, 0.5, 0.5])


def test_auto_is_the_default_and_must_be_resolved_first() -> None:
    assert LC().mu == LC(mu="auto").mu == MuSchedule()
    with pytest.raises(ConfigError, match="not been resolved"):
        MuSchedule().at(0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LC(epochs=3), "unknown key of LC 'epochs': .*epochs_per_step"),
        (lambda: LC(batch_size=0), "LC.batch_size = 0"),
        (lambda: SGD(lr=-1.0), "SGD.lr = -1.0"),
        (lambda: SGD(lr=float("nan")), "SGD.lr = nan"),
        (lambda: MuSchedule(start=0.0), "MuSchedule.start"),
        (lambda: MuSchedule(factor=0.9), "MuSchedule.factor"),
        (lambda: LC(penalty="admm"), "LC.penalty = 'admm'.*augmented-lagrangian"),
        (lambda: LC(optimizer={"name": "sgd", "lr": "fast"}), "LC.optimizer.*'fast'"),
        (lambda: recipe_from_dict({"method": "qat"}), "recipe.method = 'qat'"),
    ],
)
def test_bad_settings_are_one_clear_error(build: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_json_round_trip() -> None:
    plan = Plan([Task("a", "weight", Prune(0.5))])
    recipes = [
        LC(mu=MuSchedule(start=9e-5, factor=1.1, steps=40), optimizer=SGD(lr=0.1)),
        LC(optimizer=Adam(), penalty="quadratic"),
        Direct(),
    ]
    for recipe in recipes:
        candidate = Candidate(plan, recipe)
        assert Candidate.from_dict(candidate.to_dict()) == candidate


def test_a_candidate_may_leave_its_recipe_out_but_not_invent_keys() -> None:
    assert Candidate.from_dict({"tasks": []}).recipe == LC()
    with pytest.raises(UnknownName, match="did you mean 'recipe'"):
        Candidate.from_dict({"tasks": [], "recipes": {}})


def test_without_anything_to_compress_the_recipe_does_not_matter() -> None:
    model = nn.Linear(4, 3)
    dense, same = (
        Candidate(Plan([]), LC()),
        Candidate(Plan([Task("a", "weight", Prune(1.0))]), Direct()),
    )
    pruned = Candidate(Plan([Task("a", "weight", Prune(0.5))]), LC())
    assert dense.digest(model) == same.digest(model) != pruned.digest(model)
    assert pruned.digest(model) != Candidate(pruned.plan, Direct()).digest(model)

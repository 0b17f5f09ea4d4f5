"""Plans: patterns, checks against the model, digests modulo symmetry, JSON."""

from __future__ import annotations

import pytest
from torch import nn

from autocompress.compression import (
    Codebook,
    Compose,
    Compression,
    Dense,
    LowRank,
    NMPrune,
    Prune,
    StructurePrune,
)
from autocompress.errors import ConfigError, PlanError, SchemeError, UnknownName
from autocompress.plan import Plan, Task


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 5),
        nn.Linear(5, 3),
    )


def _names(model: nn.Module, *patterns: str) -> tuple[str, ...]:
    return Plan([Task("t", patterns, Prune(0.5))]).resolve(model).tasks[0].params


def test_patterns_match_layers_only_and_keep_the_models_order(model: nn.Module) -> None:
    assert _names(model, "*.weight") == ("0.weight", "4.weight", "5.weight")
    assert _names(model, "5.*", "0.weight") == ("0.weight", "5.weight", "5.bias")
    assert _names(model, "*.weight", "!5.*") == ("0.weight", "4.weight")
    assert _names(model, "1.weight") == ("1.weight",)  # a batch norm only by its exact name


@pytest.mark.parametrize(
    ("patterns", "error", "message"),
    [
        (["*.wieght"], PlanError, r"pattern '\*\.wieght' matches no layer.*0\.weight"),
        (["4.wieght"], UnknownName, "did you mean '4.weight'"),
        (["4.weight", "!4.*"], PlanError, "leaves no parameter"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(
    model: nn.Module, patterns: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _names(model, *patterns)


def test_two_tasks_on_one_parameter(model: nn.Module) -> None:
    plan = Plan([Task("a", "*.weight", Prune(0.5)), Task("b", "4.weight", Codebook(2))])
    with pytest.raises(PlanError, match=r"'4\.weight' is in two tasks, 'a' and 'b'"):
        plan.resolve(model)


def test_two_tasks_of_one_name() -> None:
    with pytest.raises(PlanError, match="two tasks are called 'a'"):
        Plan([Task("a", "x", Dense()), Task("a", "y", Dense())])


def test_a_scheme_that_cannot_apply_names_task_and_layer(model: nn.Module) -> None:
    with pytest.raises(PlanError, match=r"task 'q' on 5\.bias.*k = 9.*only 3 weights"):
        Plan([Task("q", "5.bias", Codebook(9))]).resolve(model)


def test_of_several_layers_the_one_it_cannot_apply_to_is_named(model: nn.Module) -> None:
    with pytest.raises(
        PlanError, match=r"^task 'q': n-m with m = 2 on 5\.weight of shape \(3, 5\)"
    ):
        Plan([Task("q", ["4.weight", "5.weight"], NMPrune(1, 2))]).resolve(model)


def test_what_a_later_scheme_of_a_composition_sees_is_no_parameter(model: nn.Module) -> None:
    composed = Compose([Prune(0.5), LowRank(1)])
    message = r"^task 'q' on 4\.weight, 5\.weight: compose, scheme 2 \(low-rank\): .* part 0 of"
    with pytest.raises(PlanError, match=message):
        Plan([Task("q", ["4.weight", "5.weight"], composed)]).resolve(model)


def test_remarks_name_layers(model: nn.Module) -> None:
    (remark,) = Plan([Task("r", ["4.weight", "5.weight"], LowRank(4))]).remarks(model)
    assert remark.startswith("task 'r': low-rank: rank 4 is not below the full rank 3 of 5.weight")


def test_structured_tasks_take_bias_and_batch_norm_along(model: nn.Module) -> None:
    plan = Plan([Task("s", ["*.weight", "!5.weight"], StructurePrune(0.5))]).resolve(model)
    assert plan.tasks[0].params == (
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "4.weight",
        "4.bias",
    )
    assert plan.resolve(model) == plan


def test_structured_pruning_of_the_output_layer_is_refused(model: nn.Module) -> None:
    with pytest.raises(PlanError, match=r"outputs of '5'.*pattern '!5\.weight'"):
        Plan([Task("s", "*.weight", StructurePrune(0.5))]).resolve(model)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Prune(1.0), Dense()),
        (LowRank(36), LowRank(5)),
        (
            LowRank(2, conv="spatial"),
            LowRank(2, conv="channel"),
        ),  # a linear layer has one reshaping
        (Compose([Dense(), Codebook(2)]), Codebook(2)),
        (Compose([Compose([Prune(0.5), Codebook(2)])]), Compose([Prune(0.5), Codebook(2)])),
    ],
    ids=str,
)
def test_digest_is_equal_modulo_symmetry(
    model: nn.Module, one: Compression, other: Compression
) -> None:
    a = Plan([Task("a", "4.weight", one), Task("z", "5.weight", Codebook(2))])
    b = Plan([Task("y", "5.weight", Codebook(2)), Task("b", ["4.weight"], other)])
    assert a.digest(model) == b.digest(model)


def test_digest_tells_different_plans_apart(model: nn.Module) -> None:
    plans = [
        Plan([]),
        Plan([Task("a", "4.weight", Prune(0.5))]),
        Plan([Task("a", "4.weight", Prune(0.25))]),
        Plan([Task("a", "5.weight", Prune(0.5))]),
        Plan([Task("a", ["4.weight", "5.weight"], Prune(0.5))]),
        Plan([Task("a", "4.weight", Prune(0.5)), Task("b", "5.weight", Prune(0.5))]),
    ]
    assert len({plan.digest(model) for plan in plans}) == len(plans)


def test_json_round_trip(model: nn.Module) -> None:
    plan = Plan(
        [
            Task("a", ["*.weight", "!5.*"], Compose([Prune(0.5), Codebook(4)])),
            Task("b", "5.weight", LowRank(2)),
        ]
    )
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({}, ConfigError, "plan: the key 'tasks' is missing"),
        ({"task": []}, UnknownName, "did you mean 'tasks'"),
        ({"tasks": "all"}, ConfigError, "expected a list"),
        ({"tasks": [{"name": "a", "params": ["x"]}]}, ConfigError, r"tasks\[0\].*'compression'"),
        (
            {"tasks": [{"name": "a", "params": ["x"], "compression": {"scheme": "prun"}}]},
            UnknownName,
            r"tasks\[0\]\.compression: unknown scheme 'prun': did you mean 'prune'",
        ),
        (
            {
                "tasks": [
                    {"name": "a", "params": ["x"], "compression": {"scheme": "low-rank", "rank": 0}}
                ]
            },
            SchemeError,
            "rank = 0",
        ),
        (
            {
                "tasks": [
                    {
                        "name": "a",
                        "params": ["x"],
                        "compression": {
                            "scheme": "additive",
                            "of": [{"scheme": "prune", "density": 0.5}],
                        },
                    }
                ]
            },
            SchemeError,
            r"^task 'a' on x: plan.tasks\[0\]\.compression: additive needs at least 2 schemes",
        ),
    ],
)
def test_bad_json_names_the_place(data: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Plan.from_dict(data)  # type: ignore[arg-type]


def test_a_task_needs_a_scheme_and_parameters() -> None:
    with pytest.raises(PlanError, match="not a compression scheme"):
        Task("t", "x", "prune")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="names no parameters"):
        Task("t", [], Dense())

"""All that may vary in a candidate is drawn, and is there only where it means something."""

from textwrap import dedent

import pytest

from autocompress import LC
from autocompress.compression import Additive, Compose
from autocompress.recipe import SGD, Adam, Candidate, Direct
from tests.explore.toys import LAYERS, NET, Random, Replay, space

DENSE = "layers: [{match: '*', schemes: [{scheme: dense}]}]\n"


def draws(text, count=60):
    """Return candidates of a space with their parameters; each resolves and replays."""
    chosen = space(text)
    chosen.check(LAYERS)
    found = []
    for seed in range(count):
        chooser = Random(seed)
        candidate = chosen.sample(chooser, LAYERS)
        candidate.plan.resolve(NET)
        assert chosen.sample(Replay(chooser.params), LAYERS) == candidate
        assert Candidate.from_dict(candidate.to_dict()) == candidate
        found.append((candidate, chooser.params))
    return found


def spread(values):
    return min(values), max(values)


@pytest.mark.parametrize(
    ("field", "read", "low", "high", "whole"),
    [
        ("mu: {start: {low: 1e-4, high: 1e-2, log: true}}", "mu.start", 1e-4, 1e-2, False),
        ("mu: {scale: {low: 0.5, high: 2}}", "mu.scale", 0.5, 2, False),
        ("mu: {factor: {low: 1.1, high: 1.5}}", "mu.factor", 1.1, 1.5, False),
        ("mu: {steps: {low: 5, high: 20}}", "mu.steps", 5, 20, True),
        ("mu: {cap: {low: 1, high: 100, log: true}}", "mu.cap", 1, 100, False),
        ("epochs_per_step: {low: 1, high: 4}", "epochs_per_step", 1, 4, True),
        ("first_step_epochs: {low: 1, high: 4}", "first_step_epochs", 1, 4, True),
        ("optimizer: {name: sgd, lr: {low: 0.01, high: 0.1}}", "optimizer.lr", 0.01, 0.1, False),
        (
            "optimizer: {name: adam, weight_decay: {low: 0, high: 0.1}}",
            "optimizer.weight_decay",
            0,
            0.1,
            False,
        ),
        ("lr_decay: {low: 0.9, high: 1}", "lr_decay", 0.9, 1, False),
        ("batch_size: {low: 32, high: 256, log: true}", "batch_size", 32, 256, True),
        ("tolerance: {low: 1e-5, high: 1e-3, log: true}", "tolerance", 1e-5, 1e-3, False),
    ],
)
def test_numbers_of_a_recipe_are_drawn_from_their_whole_range(field, read, low, high, whole):
    values = []
    for candidate, params in draws(f"{DENSE}recipe: {{{field}}}"):
        value = candidate.recipe
        for name in read.split("."):
            value = getattr(value, name)
        assert params == {f"recipe.{read}": value}
        values.append(value)
    assert all(isinstance(value, int) is whole for value in values)
    least, most = spread(values)
    assert low <= least < most <= high
    assert (most - least) > 0.5 * (high - low)


def test_choices_of_a_recipe_bring_their_own_parameters():
    text = """
    recipe:
      method: {choice: [lc, direct]}
      penalty: {choice: [augmented-lagrangian, quadratic]}
      mu: {start: auto, factor: {choice: [auto, {low: 1.1, high: 1.5}]}}
      optimizer:
        choice:
          - {name: sgd, lr: {low: 0.02, high: 0.2, log: true}, nesterov: {choice: [true, false]}}
          - {name: adam, lr: {low: 1e-4, high: 1e-2, log: true}}
    """
    seen = set()
    for candidate, params in draws(DENSE + dedent(text)):
        recipe = candidate.recipe
        if isinstance(recipe, Direct):
            assert list(params) == ["recipe.method"]
            seen.add("direct")
            continue
        assert isinstance(recipe, LC)
        names = {"recipe.method", "recipe.penalty", "recipe.mu.factor", "recipe.optimizer"}
        if recipe.mu.factor != "auto":
            names |= {"recipe.mu.factor.range"}
        if isinstance(recipe.optimizer, SGD):
            names |= {"recipe.optimizer.sgd.lr", "recipe.optimizer.sgd.nesterov"}
        else:
            assert isinstance(recipe.optimizer, Adam)
            names |= {"recipe.optimizer.adam.lr"}
        assert set(params) == names
        seen |= {recipe.penalty, recipe.optimizer.name, recipe.mu.factor == "auto"}
    assert seen == {"direct", "augmented-lagrangian", "quadratic", "sgd", "adam", True, False}


def test_regularizers_are_drawn():
    text = """
    recipe:
      regularizers:
        choice:
          - []
          - - {name: l1, strength: {low: 1e-6, high: 1e-4, log: true}}
    """
    found = {len(candidate.recipe.regularizers) for candidate, _ in draws(DENSE + dedent(text))}
    assert found == {0, 1}


ALL = """
layers:
  - match: [conv2, fc1]
    schemes:
      - {scheme: dense}
      - scheme: low-rank
        rank: {low: 1, high: 4}
        weighting: {choice: [identity, covariance]}
      - scheme: additive
        of:
          - {scheme: codebook, k: {low: 2, high: 8}}
          - {scheme: prune, density: {low: 0.01, high: 0.1}}
      - scheme: compose
        weighting: fisher
        of:
          - {scheme: prune, density: {low: 0.1, high: 0.5}}
          - choice:
              - {scheme: codebook, k: {low: 2, high: 8}}
              - {scheme: uniform, bits: {low: 2, high: 8}}
recipe: {method: direct}
"""

INSIDE = {
    "dense": [set()],
    "low-rank": [{"rank", "weighting"}],
    "codebook+prune": [{"codebook.k", "prune.density"}],
    "prune,codebook|uniform": [
        {"prune.density", "codebook|uniform", f"codebook|uniform.{part}"}
        for part in ("codebook.k", "uniform.bits")
    ],
}


def test_a_parameter_is_there_only_under_the_scheme_it_belongs_to():
    seen = set()
    for candidate, params in draws(ALL, 100):
        tasks = {task.name: task for task in candidate.plan.tasks}
        for layer in ("conv2", "fc1"):
            label = params[f"{layer}.scheme"]
            prefix = f"{layer}.{label}."
            inside = {name.removeprefix(prefix) for name in params if name.startswith(prefix)}
            assert inside in INSIDE[label]
            seen.add((layer, label, frozenset(inside)))
            if label == "dense":
                assert layer not in tasks
                continue
            task = tasks[layer]
            norm = "fisher" if "," in label else params.get(f"{prefix}weighting", "identity")
            assert task.weighting == norm
            if label == "low-rank":
                assert task.compression.rank == params[f"{prefix}rank"]
            if "of" in task.compression.__dataclass_fields__:
                kind = Additive if "+" in label else Compose
                assert isinstance(task.compression, kind)
                assert len(task.compression.of) == 2
    assert len(seen) == 2 * 5

import json

import pytest

from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.space import SearchSpace
from tests.explore.toys import LAYERS, VARIED, Random, space

SHARED = """
layers:
  - match: "conv*"
    share: true
    name: filters
    schemes: [{scheme: prune, density: {low: 0.1, high: 0.9}}]
  - {match: fc1, schemes: [{scheme: prune, density: 0.5}]}
  - match: fc2
    schemes:
      - {scheme: codebook, k: {low: 2, high: 9}}
      - {scheme: low-rank, rank: {low: 1, high: 4}, weighting: {choice: [identity, covariance]}}
recipe:
  method: {choice: [lc, direct]}
  mu: {factor: {choice: [auto, {low: 1.1, high: 1.5}]}, steps: {low: 5, high: 20}}
"""


def constrained(text, *constraints):
    return SearchSpace.from_dict(space(text).to_dict() | {"constraints": list(constraints)})


def broken(text, constraint, **params):
    named = {name.replace("__", "."): value for name, value in params.items()}
    return bool(constrained(text, constraint).broken(named, LAYERS))


def test_a_broken_constraint_is_given_in_the_words_it_was_written_in():
    chosen = constrained(VARIED, "conv1.density <= conv2.density", "conv1.scheme != dense")
    prune = {"conv1.scheme": "prune", "conv2.scheme": "prune", "conv1.prune.density": 0.4}
    assert chosen.broken(prune | {"conv2.prune.density": 0.5}, LAYERS) == []
    assert chosen.broken(prune | {"conv2.prune.density": 0.3}, LAYERS) == [
        "conv1.density <= conv2.density"
    ]
    assert chosen.broken({"conv1.scheme": "dense"}, LAYERS) == ["conv1.scheme != dense"]


def test_short_names_mean_whatever_scheme_the_group_has():
    text = "conv1.density <= 0.3"
    structure = {"conv1__scheme": "structure-prune", "conv1__structure-prune__density": 0.5}
    assert broken(VARIED, text, **structure)
    assert broken(VARIED, text, conv1__scheme="prune", conv1__prune__density=0.4)
    assert not broken(VARIED, text, conv1__scheme="dense")
    # a parameter of another choice than the one made does not count
    assert not broken(VARIED, text, conv1__scheme="dense", conv1__prune__density=0.4)


def test_parts_of_compositions_go_by_their_scheme():
    params = {"fc1__scheme": "prune,codebook", "fc1__prune,codebook__prune__density": 0.4}
    assert broken(VARIED, "fc1.prune.density < 0.4", **params)
    assert broken(VARIED, "fc1.density < 0.4", **params)


def test_layers_of_a_shared_choice_lend_it_their_names():
    assert broken(SHARED, "conv2.density < 0.5", filters__prune__density=0.6)
    assert broken(SHARED, "filters.density < 0.5", filters__prune__density=0.6)


def test_what_is_fixed_counts_too():
    assert broken(SHARED, "conv1.density <= fc1.density", filters__prune__density=0.6)
    assert not broken(SHARED, "conv1.density <= fc1.density", filters__prune__density=0.4)
    assert not broken(SHARED, "fc1.scheme == prune")


def test_recipes_are_constrained_like_layers():
    text = "recipe.mu.factor <= 1.2"
    lc = {"recipe__method": "lc"}
    assert broken(
        SHARED, text, **lc, **{"recipe.mu.factor": "range"}, recipe__mu__factor__range=1.3
    )
    assert not broken(SHARED, text, **lc, **{"recipe.mu.factor": "auto"})
    assert not broken(SHARED, text, recipe__method="direct")
    both = "if fc2.weighting == covariance then recipe.steps >= 10"
    rank = {"fc2__scheme": "low-rank", "fc2__low-rank__weighting": "covariance"}
    assert broken(SHARED, both, **lc, **rank, recipe__mu__steps=9)
    assert not broken(SHARED, both, **lc, **rank, recipe__mu__steps=10)


def test_constraints_are_stored_and_spaces_without_them_look_as_before():
    chosen = constrained(VARIED, "conv1.scheme == conv2.scheme")
    stored = json.loads(json.dumps(chosen.to_dict()))
    assert SearchSpace.from_dict(stored) == chosen != space(VARIED)
    assert stored.pop("constraints") == ["conv1.scheme == conv2.scheme"]
    assert stored == space(VARIED).to_dict()
    assert SearchSpace("v", chosen.rules, chosen.recipe, constraints=chosen.constraints).constraints


def test_all_draws_are_judged_by_what_they_are():
    chosen = constrained(VARIED, "conv1.scheme == conv2.scheme")
    checker = chosen.checker(LAYERS)
    verdicts = set()
    for seed in range(30):
        chooser = Random(seed)
        chosen.sample(chooser, LAYERS)
        equal = chooser.params["conv1.scheme"] == chooser.params["conv2.scheme"]
        assert (not checker.broken(chooser.params)) is equal
        verdicts.add(equal)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("constraint", "error", "message"),
    [
        (
            "conv1.densty <= 0.5",
            UnknownName,
            r"space\.yaml: constraints\[0\] 'conv1\.densty <= 0\.5': no parameter of the space is "
            r"called 'conv1\.densty': the nearest are conv1\.density",
        ),
        ("fc9.scheme == prune", UnknownName, r"'fc9\.scheme': the nearest are fc1\.scheme"),
        ("fc1.n == 2", UnknownName, r"no parameter of the space is called 'fc1\.n'"),
        (
            "conv1.scheme == prone",
            UnknownName,
            r"'conv1\.scheme' is never 'prone': did you mean 'prune'\? it is one of dense, prune",
        ),
        ("conv1.scheme <= 3", ConfigError, "'<=' compares numbers, and 'conv1.scheme' is one of"),
        ("density <= 3", ConfigError, "'<=' compares numbers, and 'density' is none"),
        ("prune == dense", ConfigError, "it is about no parameter"),
        ("conv1.scheme = prune", ConfigError, r"constraints\[0\] .*cannot read '='"),
    ],
)
def test_a_constraint_on_something_absent_names_file_key_and_nearest(constraint, error, message):
    with pytest.raises(error, match=message):
        space(f"{VARIED}\nconstraints: ['{constraint}']").check(LAYERS)


def test_constraints_are_a_list():
    with pytest.raises(ConfigError, match=r"space\.yaml: constraints = 'a\.k < 3': accepted is a"):
        space(f"{VARIED}\nconstraints: a.k < 3")

import numpy as np
import pytest

from autocompress.explore.choosers import Fixed, Random
from autocompress.explore.proposals.mutation import Mutation
from autocompress.layers import find_layers


def groups_of(params):
    return {
        group: {k: v for k, v in params.items() if k.startswith(f"{group}.")}
        for group in ("0", "2", "4", "recipe")
    }


@pytest.mark.parametrize("seed", range(30))
def test_a_mutant_is_a_candidate_and_differs_in_few_groups(breeder, space, model, seed):
    rng = np.random.default_rng(seed)
    parent = breeder.random(rng)
    child = breeder.mutate(parent, rng)
    layers = find_layers(model)
    space.sample(Fixed(child, NoChance()), layers)  # complete: nothing is left to draw
    before, after = groups_of(parent), groups_of(child)
    changed = [group for group in ("0", "2", "4") if before[group] != after[group]]
    assert len(changed) <= 2


def test_a_cross_takes_each_group_from_one_parent(breeder):
    rng = np.random.default_rng(1)
    one, other = breeder.random(rng), breeder.random(rng)
    for _ in range(10):
        child = groups_of(breeder.cross(one, other, rng))
        for group, params in child.items():
            assert params in (groups_of(one)[group], groups_of(other)[group])


def test_the_recipe_of_another(breeder):
    rng = np.random.default_rng(2)
    one, other = breeder.random(rng), breeder.random(rng)
    child = groups_of(breeder.with_recipe(one, other, rng))
    assert child == {**groups_of(one), "recipe": groups_of(other)["recipe"]}


def test_numbers_move_a_little_and_stay_inside():
    rng = np.random.default_rng(0)
    mutation = Mutation({"x": 0.1, "n": 8}, rng)
    xs = [mutation.suggest_float("x", 0.01, 1.0, log=True) for _ in range(200)]
    ns = [mutation.suggest_int("n", 2, 16, log=True) for _ in range(200)]
    assert 0.01 <= min(xs) < 0.1 < max(xs) <= 1.0
    assert np.median(np.abs(np.log10(xs) + 1.0)) < 0.4
    assert 2 <= min(ns) < 8 < max(ns) <= 16
    assert 8 not in ns  # an integer that is to move does


def test_what_the_parent_lacks_is_drawn():
    mutation = Mutation({}, np.random.default_rng(0))
    assert {mutation.suggest_categorical("c", ["a", "b"]) for _ in range(30)} == {"a", "b"}
    assert len({mutation.suggest_float("x", 0.0, 1.0) for _ in range(5)}) == 5


def test_a_seed_is_all_the_chance_there_is(breeder):
    parent = breeder.random(np.random.default_rng(0))
    children = [breeder.mutate(parent, np.random.default_rng(7)) for _ in range(2)]
    assert children[0] == children[1]


class NoChance(Random):
    def __init__(self):
        pass

    def __getattribute__(self, name):
        raise AssertionError(f"{name} was left to chance")

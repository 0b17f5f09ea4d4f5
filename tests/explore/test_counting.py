import math

import pytest

from autocompress.explore.counting import RESOLUTION, Count, count_group, count_node, count_recipe
from autocompress.explore.grammar import parse
from autocompress.explore.rules import Rule, make_groups
from tests.explore.toys import LAYERS, VARIED, space


@pytest.mark.parametrize(
    ("data", "count", "text"),
    [
        (3, Count(1, 1), "1"),
        ({"low": 2, "high": 64, "log": True, "type": "int"}, Count(63, 63), "63"),
        ({"low": 5, "high": 20, "step": 5, "type": "int"}, Count(4, 4), "4"),
        ({"low": 0, "high": 1, "step": 0.25}, Count(5, 5), "5"),
        ({"low": 0, "high": 1}, Count(0, RESOLUTION), "continuous"),
        ({"low": 1.0, "high": 1.0}, Count(1, 1), "1"),
        ({"choice": ["a", "b"]}, Count(2, 2), "2"),
        (
            {"choice": ["auto", {"low": 0, "high": 1}]},
            Count(1, 1 + RESOLUTION),
            "1 + continuous",
        ),
        ({"a": {"choice": [1, 2]}, "b": {"low": 1, "high": 3, "type": "int"}}, Count(6, 6), "6"),
        ([{"low": 1, "high": 3, "type": "int"}, {"low": 0, "high": 1}], Count(0, 300), "contin"),
    ],
)
def test_integers_are_counted_exactly_and_floats_at_a_resolution(data, count, text):
    found = count_node(parse(data, "f"))
    assert found == count
    assert str(found).startswith(text)
    assert found.log10 == pytest.approx(math.log10(count.total))


def test_schemes_add_up_and_fields_multiply():
    schemes = [
        {"scheme": "dense"},
        {"scheme": "codebook", "k": {"low": 2, "high": 9}},
        {
            "scheme": "compose",
            "of": [
                {"scheme": "prune", "density": {"choice": [0.1, 0.2, 0.5]}},
                {"choice": [{"scheme": "codebook", "k": {"choice": [2, 4]}}, {"scheme": "dense"}]},
            ],
        },
        {"scheme": "prune", "density": 0.5, "weighting": {"choice": ["identity", "fisher"]}},
    ]
    (group,) = make_groups([Rule("fc*", schemes, share=True)], LAYERS, "")
    assert count_group(group) == Count(1 + 8 + 3 * (2 + 1) + 2, 1 + 8 + 3 * (2 + 1) + 2)


def test_recipes_are_one_where_nothing_is_trained():
    assert count_recipe(space(VARIED).recipe) == Count(1, 1 + 4 * RESOLUTION)
    layers = "layers: [{match: '*', schemes: [{scheme: dense}]}]\n"
    steps = "mu: {steps: {low: 1, high: 5}}"
    both = space(f"{layers}recipe: {{method: {{choice: [lc, direct]}}, {steps}}}").recipe
    assert count_recipe(both) == Count(6, 6)
    assert count_recipe(space(f"{layers}recipe: {{method: direct}}").recipe) == Count(1, 1)
    assert count_recipe(space(layers).recipe) == Count(1, 1)


def test_the_count_is_the_number_of_different_draws():
    chosen = space(
        """
        layers:
          - match: fc1
            schemes:
              - {scheme: dense}
              - {scheme: low-rank, rank: {low: 1, high: 3}}
              - {scheme: prune, density: {choice: [0.1, 0.2]}}
        """
    )
    from tests.explore.toys import Random

    (group,) = chosen.groups(LAYERS)
    draws = {str(chosen.sample(Random(seed), LAYERS).plan) for seed in range(200)}
    assert count_group(group) == Count(len(draws), len(draws)) == Count(6, 6)

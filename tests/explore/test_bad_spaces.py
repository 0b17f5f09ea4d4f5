"""What is wrong with a space is said with file, key, layer and value, before anything runs."""

import pytest

from autocompress.errors import AutocompressError
from autocompress.explore.space import SearchSpace
from tests.explore.toys import LAYERS


def rule(scheme, match="fc1"):
    return f"layers: [{{match: {match}, schemes: [{{scheme: dense}}, {{{scheme}}}]}}]\n"


GOOD = rule("scheme: prune, density: {low: 0.1, high: 0.5}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "layers: [{match: fc1, schemes: []}]",
            ["layers[0].schemes = []", "list of at least one scheme", "fc1"],
        ),
        (
            rule("scheme: prune, density: {choice: []}"),
            ["layers[0].schemes[1].density.choice = []", "list of at least one value", "fc1"],
        ),
        (
            rule("scheme: compose, of: []"),
            ["layers[0].schemes[1].of = []", "list of at least one scheme", "fc1"],
        ),
        (
            rule("scheme: prune, weight: -0.5"),
            ["layers[0].schemes[1].weight = -0.5", "accepted is a number above 0", "fc1"],
        ),
        (
            rule("scheme: prune, weight: 0", "'conv*'"),
            ["layers[0].schemes[1].weight = 0:", "accepted is a number above 0", "conv*"],
        ),
        (
            rule("scheme: prune, density: {low: 0.5, high: 0.1}"),
            ["layers[0].schemes[1].density", "low = 0.5 is above high = 0.1", "fc1"],
        ),
        (
            rule("scheme: prune, density: {low: 0, high: 0.1, log: true}"),
            ["layers[0].schemes[1].density", "low = 0 with log", "a number above 0", "fc1"],
        ),
        (
            rule("scheme: prune, density: {low: -1, high: 0.1}"),
            ["layers[0].schemes[1]", "density = -1", "(0, 1]", "fc1"],
        ),
        (
            rule("scheme: codebook, k: {low: 2, high: 4.5}"),
            ["layers[0].schemes[1].k", "high = 4.5 is not an integer", "fc1"],
        ),
        (
            f"{GOOD}recipe: {{mu: {{steps: {{low: 9, high: 3}}}}}}",
            ["recipe.mu.steps", "low = 9 is above high = 3"],
        ),
        (
            f"{GOOD}recipe: {{mu: {{start: {{low: 0, high: 1, log: true}}}}}}",
            ["recipe.mu.start", "low = 0 with log"],
        ),
        (f"{GOOD}recipe: {{penalty: {{choice: []}}}}", ["recipe.penalty.choice = []"]),
        (
            f"{GOOD}constraints: [fc1.rank <= 4]",
            ["constraints[0] 'fc1.rank <= 4'", "no parameter of the space is called 'fc1.rank'"],
        ),
        (
            f"{GOOD}constraints: [if fc2.scheme == prune then fc1.density < 0.3]",
            ["constraints[0]", "called 'fc2.scheme'", "the nearest are fc1.scheme"],
        ),
        (
            f"{GOOD}constraints: [if fc1.scheme == low_rank then fc1.density < 0.3]",
            ["constraints[0]", "'fc1.scheme' is never 'low_rank'", "dense, prune"],
        ),
        (
            "layers: [{match: '*', index: 4, schemes: [{scheme: dense}]}]",
            ["layers[0].index = 4", "the model has 4 layers", "-4 to 3"],
        ),
    ],
)
def test_file_key_layer_and_value_are_named(text, words, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(AutocompressError) as caught:
        SearchSpace.load(path).check(LAYERS)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message, message

import pytest
from torch import nn

from autocompress.explore.space import SearchSpace
from autocompress.explore.strategy import Dimensions, choose
from autocompress.layers import find_layers

MANY = Dimensions(parameters=30, conditional=24)


@pytest.mark.parametrize(
    ("asked", "trials", "dimensions", "objectives", "chosen"),
    [
        ("auto", 200, MANY, 2, "guided"),
        ("auto", 5000, MANY, 3, "nsga2"),
        ("auto", 5000, MANY, 4, "nsga3"),
        ("auto", 200, Dimensions(1, 0), 2, "qmc"),
        ("tpe", 5000, MANY, 2, "tpe"),
    ],
)
def test_the_choice(asked, trials, dimensions, objectives, chosen):
    name, reason = choose(asked, trials=trials, dimensions=dimensions, objectives=objectives)
    assert name == chosen
    assert reason.startswith("as asked" if asked != "auto" else "auto: ")


def test_the_reason_names_what_it_went_by():
    _, reason = choose("auto", trials=200, dimensions=MANY, objectives=2)
    assert reason == "auto: 200 trials, 30 parameters, 24 of them conditional"


def test_dimensions_are_those_of_the_model():
    space = SearchSpace.from_dict(
        {
            "layers": [
                {
                    "match": "*",
                    "schemes": [
                        {"scheme": "dense"},
                        {"scheme": "prune", "density": {"low": 0.1, "high": 0.5}},
                    ],
                }
            ],
            "recipe": {"mu": {"scale": {"low": 0.5, "high": 2.0}, "steps": 3}},
        }
    )
    layers = find_layers(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    assert Dimensions.of(space, layers) == Dimensions(parameters=5, conditional=2)

"""A small space and its layers."""

import pytest
from torch import nn

from autocompress.explore.objectives import Objectives
from autocompress.explore.proposals.mutation import Breeder
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers

SPACE = {
    "name": "small",
    "layers": [
        {
            "match": "*",
            "schemes": [
                {"scheme": "dense"},
                {"scheme": "prune", "density": {"low": 0.01, "high": 0.5, "log": True}},
                {"scheme": "codebook", "k": {"low": 2, "high": 16, "log": True}},
            ],
        }
    ],
    "recipe": {
        "mu": {"scale": {"low": 0.3, "high": 3.0, "log": True}, "steps": 2},
        "penalty": {"choice": ["augmented-lagrangian", "quadratic"]},
    },
}


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 4)
    )


@pytest.fixture
def space():
    return SearchSpace.from_dict(SPACE)


@pytest.fixture
def breeder(space, model):
    return Breeder(space, find_layers(model))


@pytest.fixture
def objectives():
    return Objectives.from_dict(
        {
            "name": "accuracy-size",
            "objectives": [
                {"metric": "accuracy", "direction": "maximize", "worst": 0.25},
                {"metric": "bytes", "direction": "minimize", "scale": "log", "worst": 4000.0},
            ],
        }
    )

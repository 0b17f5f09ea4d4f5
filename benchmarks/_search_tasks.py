"""The two small searches of the search benchmarks: their models, data, spaces and objectives.

Trials are real L-C trials, kept to about a second by a training subset and few steps. Everything
is by validation data; the test split is not read.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import autocompress as ac
from autocompress import models
from autocompress.data import Data
from autocompress.explore.objectives import Objectives
from autocompress.explore.space import SearchSpace
from autocompress.models import Training

MARGIN = 0.05
"""The hypervolume counts what is within so much of the reference's accuracy."""

LAYERS: list[dict[str, Any]] = [
    {
        "match": "*",
        "schemes": [
            {"scheme": "dense"},
            {"scheme": "prune", "density": {"low": 0.005, "high": 0.5, "log": True}},
            {"scheme": "codebook", "k": {"low": 2, "high": 16, "log": True}},
            {"scheme": "low-rank", "rank_fraction": {"low": 0.01, "high": 0.5, "log": True}},
            {
                "scheme": "compose",
                "of": [
                    {"scheme": "prune", "density": {"low": 0.005, "high": 0.5, "log": True}},
                    {"scheme": "codebook", "k": {"low": 2, "high": 16, "log": True}},
                ],
            },
            {
                "scheme": "additive",
                "of": [
                    {"scheme": "codebook", "k": {"low": 2, "high": 16, "log": True}},
                    {"scheme": "prune", "density": {"low": 0.002, "high": 0.05, "log": True}},
                ],
            },
        ],
    }
]


@dataclass(frozen=True)
class SearchTask:
    """One search: what is compressed, and how long a trial trains.

    Attributes:
        name: How results call it.
        model: Name of the model.
        data: Name of the data set.
        train: Training examples of a trial.
        val: Validation examples.
        training: How the reference is trained; None for the model's own way.
        steps: L-C steps of a trial, one epoch each.
    """

    name: str
    model: str
    data: str
    train: int
    val: int
    training: Training | None = None
    steps: int = 10

    def load(self, root: str | Path) -> tuple[nn.Module, Data]:
        """Return the reference, trained on all the training data, and the subset of the data."""
        whole = ac.data.load(self.data, root=str(root))
        model = models.load(self.model, whole, training=self.training)
        parts = {"train": whole.train.subset(self.train), "val": whole.val.subset(self.val)}
        digest = f"{whole.digest[:8]}{self.train:04x}{self.val:04x}"
        return model, dataclasses.replace(whole, **parts, digest=digest, spec=None)

    def space(self, *, fixed_recipe: bool = False) -> SearchSpace:
        """Return the space: six schemes a layer, and the recipe's numbers, or one recipe."""
        recipe: dict[str, Any] = {
            "mu": {
                "start": {"choice": ["auto", {"low": 1e-4, "high": 1.0, "log": True}]},
                "factor": {"choice": ["auto", {"low": 1.05, "high": 3.0}]},
                "steps": self.steps,
            },
            "penalty": {"choice": ["augmented-lagrangian", "quadratic"]},
            "epochs_per_step": 1,
            "batch_size": 64,
            "optimizer": {
                "name": "sgd",
                "lr": {"low": 0.002, "high": 0.2, "log": True},
                "momentum": 0.9,
            },
        }
        if fixed_recipe:
            recipe["mu"] |= {"start": "auto", "factor": "auto"}
            recipe |= {"penalty": "augmented-lagrangian"}
            recipe["optimizer"] |= {"lr": 0.05}
        return SearchSpace.from_dict({"name": self.name, "layers": LAYERS, "recipe": recipe})

    def resolved(self, model: nn.Module, data: Data) -> Objectives:
        """Return the objectives with the reference point in numbers."""
        found = ac.compress(model, ac.Plan([]), ac.Direct(), data)
        reference = {"accuracy": found.history[0].val_accuracy, "bytes": float(found.size.bytes)}
        return self.objectives(reference["accuracy"]).resolve(reference, data.classes)

    def objectives(self, accuracy: float) -> Objectives:
        """Return accuracy and log bytes, down to ``MARGIN`` below the reference's accuracy."""
        items = [
            {"metric": "accuracy", "direction": "maximize", "worst": round(accuracy - MARGIN, 6)},
            {"metric": "bytes", "direction": "minimize", "scale": "log"},
        ]
        return Objectives.from_dict({"name": "accuracy-bytes", "objectives": items})


def small_cnn(data: Data) -> nn.Module:
    """Two strided convolutions and two linear layers; 52,234 parameters on 1x28x28 inputs."""
    side = data.input_shape[-1] // 4
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(data.input_shape[0], 8, 5, stride=2, padding=2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * side * side, 64),
            relu3=nn.ReLU(),
            fc2=nn.Linear(64, data.classes),
        )
    )


TASKS = {
    task.name: task
    for task in (
        SearchTask("lenet300-mnist", "lenet300", "mnist", train=2560, val=2000),
        SearchTask(
            "cnn-fashion",
            f"{__name__}:small_cnn",
            "fashion-mnist",
            train=1280,
            val=2000,
            training=Training(epochs=15, lr=0.03),
        ),
    )
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread: what is measured beside other work then takes what it takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

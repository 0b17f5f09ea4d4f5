"""A small network, choosers and studies for the tests of the search."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from torch import nn

from autocompress import yamlio
from autocompress.explore.entries import PendingTrial
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.seeding import make_seeds
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.layers import find_layers


class Net(nn.Module):
    """Two convolutions, the first with a batch norm, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.fc1 = nn.Linear(32, 16)
        self.fc2 = nn.Linear(16, 10)


NET = Net()
LAYERS = find_layers(NET)
REFERENCE = {"accuracy": 0.98, "bytes": 5000.0}
OBJECTIVES = Objectives(
    "toy",
    (Objective("accuracy", "maximize"), Objective("bytes", "minimize", scale="log")),
).resolve(REFERENCE, classes=10)


class Random:
    """A chooser that draws at random, and notes what it drew."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.params: dict[str, object] = {}

    def suggest_float(self, name, low, high, *, step=None, log=False):
        value = low * (high / low) ** self.rng.random() if log else self.rng.uniform(low, high)
        if step is not None:
            value = low + step * self.rng.randint(0, round((high - low) / step))
        return self._note(name, min(max(value, low), high))

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return self._note(name, self.rng.randrange(low, high + 1, step))

    def suggest_categorical(self, name, choices):
        return self._note(name, self.rng.choice(choices))

    def _note(self, name, value):
        assert name not in self.params, f"{name} is asked for twice"
        self.params[name] = value
        return value


class Replay:
    """A chooser that gives stored parameters back."""

    def __init__(self, params):
        self.params = params

    def suggest_float(self, name, low, high, *, step=None, log=False):
        assert low <= self.params[name] <= high
        return self.params[name]

    def suggest_int(self, name, low, high, *, step=1, log=False):
        assert low <= self.params[name] <= high
        assert log or (self.params[name] - low) % step == 0
        return self.params[name]

    def suggest_categorical(self, name, choices):
        assert self.params[name] in choices
        return self.params[name]


def space(text: str, source: str = "space.yaml") -> SearchSpace:
    return SearchSpace.from_dict(yamlio.loads(text, where=source), source=source)


PRUNE = """
layers:
  - {match: "*", schemes: [{scheme: prune, density: {low: 0.01, high: 1.0, log: true}}]}
"""

VARIED = """
name: varied
layers:
  - match: "conv*"
    schemes:
      - {scheme: dense}
      - {scheme: prune, weight: 3, density: {low: 0.02, high: 0.5, log: true}}
      - {scheme: structure-prune, density: {low: 0.2, high: 0.9}}
  - match: ["*", "!fc2"]
    schemes:
      - {scheme: low-rank, rank_fraction: {low: 0.05, high: 0.5}}
      - scheme: compose
        of:
          - {scheme: prune, density: {low: 0.02, high: 0.5, log: true}}
          - {scheme: codebook, k: {choice: [2, 4, 16]}}
recipe:
  mu:
    choice:
      - auto
      - {start: {low: 1e-4, high: 1e-2, log: true}, factor: 1.2, steps: {low: 5, high: 20, step: 5}}
"""


def metrics(digest: str) -> dict[str, float]:
    """Return made-up but reproducible metrics of a candidate."""
    number = int(hashlib.sha256(digest.encode()).hexdigest()[:12], 16)
    return {"accuracy": 0.5 + (number % 997) / 2000, "bytes": 100.0 + number % 4001}


def setup(**changes) -> Setup:
    values = {"objectives": OBJECTIVES, "space": space(VARIED), "reference": REFERENCE}
    return Setup(**(values | {"sampler": "random", "seed": 3, "trials": 24} | changes))


def new_study(path: Path, *, seeds: bool = True, **changes) -> Study:
    chosen = setup(**changes)
    first = make_seeds(chosen.space, LAYERS, chosen.trials) if seeds else ()
    return Study.create(path, chosen, NET, seeds=first)


def run(study: Study, pending: PendingTrial) -> TrialRecord:
    """Finish a trial the way a search does."""
    known = study.answer(pending)
    if known:
        return known
    return study.tell(pending.record(Status.COMPLETE, metrics(pending.digest), seconds=0.5))

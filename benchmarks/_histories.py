"""Real trials with the whole course of each: what the replays of `halving.py` are made of.

LeNet-300-100 on 5,000 training images of MNIST, a scheme for each layer and 8 to 12 L-C steps of an
epoch each. Trials come from three sources, since what halving saves depends on who proposes: drawn
at random, by TPE, and by mutation of one or two layers of a front member.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from autocompress import data as datasets
from autocompress import models
from autocompress.api import compress
from autocompress.config import Sweep
from autocompress.explore.choosers import Fixed, Random, Recorder
from autocompress.explore.objectives import Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.seeding import Seed, make_seeds
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, TrialContext, run_job
from autocompress.layers import find_layers
from autocompress.lc import StepRecord
from autocompress.plan import Plan
from autocompress.recipe import Candidate, Direct

SOURCES = ("random", "tpe", "mutation")
METRICS = ("accuracy", "bytes")
SPACE: dict[str, Any] = {
    "name": "halving",
    "layers": [
        {
            "match": "*",
            "schemes": [
                {"scheme": "prune", "density": {"low": 0.02, "high": 0.5, "log": True}},
                {"scheme": "codebook", "k": {"low": 2, "high": 32, "log": True}},
                {"scheme": "low-rank", "rank_fraction": {"low": 0.02, "high": 0.5, "log": True}},
                {
                    "scheme": "compose",
                    "weight": 2,
                    "of": [
                        {"scheme": "prune", "density": {"low": 0.02, "high": 0.5, "log": True}},
                        {"scheme": "codebook", "k": {"low": 2, "high": 32, "log": True}},
                    ],
                },
            ],
        }
    ],
    "recipe": {
        "mu": {"scale": {"low": 0.3, "high": 3, "log": True}, "steps": {"low": 8, "high": 12}},
        "epochs_per_step": 1,
    },
}


def context(data_root: str | None) -> TrialContext:
    """Return the reference, trained on all of MNIST, with a part of the training images."""
    data = datasets.load("mnist", root=data_root)
    model = models.load("lenet300", data)
    part = dataclasses.replace(data, train=data.train.subset(5000), val=data.val.subset(5000))
    return TrialContext(model, part)


def objectives(there: TrialContext) -> tuple[Objectives, dict[str, float]]:
    """Return accuracy against bytes, resolved, and the reference's metrics."""
    result = compress(there.model, Plan([]), Direct(), there.data)
    reference = there.measure(METRICS, result)
    return Sweep().load_objectives().resolve(reference, there.data.classes), reference


def record(there: TrialContext, source: str, seed: int, trials: int) -> list[dict[str, Any]]:
    """Run trials of one source; return what is kept of each."""
    goals, reference = objectives(there)
    space = SearchSpace.from_dict(SPACE)
    sampler = "tpe" if source == "tpe" else "random"
    setup = Setup(goals, space, reference, sampler=sampler, seed=seed, trials=trials)
    rows = []
    with _study(setup, there, trials) as study:
        for _ in range(trials):
            if source == "mutation" and study.records() and len(rows) >= 10:
                _mutate(study, there, np.random.default_rng([seed, len(rows)]))
            pending = study.ask()
            steps: list[StepRecord] = []
            with tempfile.TemporaryDirectory() as folder:
                job = Job(
                    pending.number, pending.candidate.to_dict(), pending.seed, folder, METRICS
                )
                result = run_job(job, there, steps.append)
            study.tell(pending.record(result.status, result.metrics, folder="x"))
            if result.status is Status.COMPLETE:
                rows.append(_row(pending.candidate, steps, result.metrics))
    return rows


@contextmanager
def _study(setup: Setup, there: TrialContext, trials: int) -> Iterator[Study]:
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(setup.space, find_layers(there.model), trials)
        with Study.create(Path(folder), setup, there.model, seeds=seeds) as study:
            yield study


def _mutate(study: Study, there: TrialContext, rng: np.random.Generator) -> None:
    """Enqueue a member of the front with one or two layers drawn anew."""
    front = study.front().records
    parent: TrialRecord = front[int(rng.integers(len(front)))]
    groups = sorted({name.split(".")[0] for name in parent.params})
    drawn = set(rng.choice(groups, size=int(rng.integers(1, 3)), replace=False))
    kept = {k: v for k, v in parent.params.items() if k.split(".")[0] not in drawn}
    chooser = Recorder(Fixed(kept, Random(rng)))
    candidate = study.setup.space.sample(chooser, find_layers(there.model))
    study.enqueue([Seed("local", chooser.params, candidate)])


def _row(
    candidate: Candidate, steps: list[StepRecord], metrics: dict[str, float]
) -> dict[str, Any]:
    return {
        "planned": candidate.recipe.mu.steps if candidate.plan.tasks else 0,
        "accuracy": [round(s.val_accuracy, 5) for s in steps],
        "loss": [round(s.val_loss, 4) for s in steps],
        "bits": [s.bits for s in steps],
        "epochs": [s.epochs for s in steps],
        "metrics": metrics,
    }

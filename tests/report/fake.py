"""A study as a sweep on MNIST with LeNet-300-100 leaves it, made up but realistic."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord

REFERENCE = {"accuracy": 0.9795, "bytes": 1_066_712.0, "latency": 0.412, "flops": 532_400.0}
ACCURACY = Objective("accuracy", "maximize", worst=0.1)
BYTES = Objective("bytes", "minimize", "log", worst=REFERENCE["bytes"])
LATENCY = Objective("latency", "minimize", worst=REFERENCE["latency"])
ONE = Objectives("accuracy-only", (ACCURACY,))
TWO = Objectives("accuracy-size", (ACCURACY, BYTES))
THREE = Objectives("accuracy-size-latency", (ACCURACY, BYTES, LATENCY))
_MESSAGES = {
    Status.DIVERGED: "loss became NaN in L-C step 3",
    Status.TIMEOUT: "no result within 600 s",
    Status.CRASHED: "worker killed by signal 9 <oom & co>",
    Status.INFEASIBLE: "bytes 2.1 MB is over the limit",
}


class FakeStudy:
    """What a report reads of a study."""

    def __init__(self, path: Path, records: list[TrialRecord], objectives: Objectives = TWO):
        self.path, self.objectives, self.reference = path, objectives, dict(REFERENCE)
        self._records, self._test, self.notes = records, {}, {}

    def records(self) -> list[TrialRecord]:
        return list(self._records)

    def found(self):
        return None

    def note(self, key: str):
        return self.notes.get(key)

    def repeats(self) -> dict:
        return {}

    def test(self, number: int) -> float | None:
        return self._test.get(number)

    def set_test(self, number: int, value: float) -> None:
        self._test[number] = value


def _plan(generator: np.random.Generator) -> dict:
    schemes = [
        {"scheme": "prune", "density": float(10 ** generator.uniform(-2.3, 0))},
        {"scheme": "codebook", "k": int(generator.integers(2, 32))},
        {"scheme": "low_rank", "rank": int(generator.integers(2, 60))},
    ]
    compose = {"scheme": "compose", "of": schemes[:2]}
    return {
        "tasks": [
            {
                "name": name,
                "params": [f"{name}.weight"],
                "compression": [*schemes, compose][generator.integers(4)],
            }
            for name in ("fc1", "fc2", "fc3")
        ],
        "recipe": {"method": "lc"},
    }


def make_records(count: int, seed: int = 0, failing: float = 0.15) -> list[TrialRecord]:
    """Return records whose accuracy falls off a cliff as they get small; the first is dense."""
    generator = np.random.default_rng(seed)
    records = []
    for number in range(count):
        dense = number == 0
        status = Status.COMPLETE
        if not dense and generator.random() < failing:
            failures = (Status.PRUNED, *_MESSAGES)
            status = failures[generator.integers(len(failures))]
        size = REFERENCE["bytes"] if dense else 10 ** generator.uniform(3.6, 5.7)
        quality = 0.981 - 0.4 * math.exp(-(math.log10(size) - 3.4) * 3.2)
        accuracy = REFERENCE["accuracy"] if dense else quality - generator.exponential(0.02)
        latency = REFERENCE["latency"] * (1 if dense else generator.uniform(0.3, 1.2))
        metrics = {"accuracy": max(accuracy, 0.1), "bytes": float(round(size)), "latency": latency}
        records.append(
            TrialRecord(
                number,
                status,
                candidate={"tasks": []} if dense else _plan(generator),
                metrics=metrics if status is Status.COMPLETE else {},
                seed=number,
                seconds=float(generator.uniform(5, 60)),
                digest=f"{number:016x}",
                message=_MESSAGES.get(status, ""),
                origin="dense" if dense else "sampler",
                folder=f"trials/{number:04d}",
            )
        )
    return records


def write_history(run: Path, record: TrialRecord, steps: int = 20) -> None:
    """Write the history.csv of a trial."""
    generator = np.random.default_rng(record.number)
    folder = run / str(record.folder)
    folder.mkdir(parents=True, exist_ok=True)
    final = record.metrics.get("accuracy", 0.5)
    lines = ["step,mu,epochs,train_loss,violation,val_loss,val_accuracy,bits,seconds"]
    mu = 10 ** generator.uniform(-4, -2)
    for step in range(steps + 1):
        done = 1 - math.exp(-4 * step / max(steps, 1))
        accuracy = 0.2 + (final - 0.2) * done + generator.normal(0, 0.004)
        violation = 0.7 * 10 ** (-2.5 * step / max(steps, 1))
        now = 0.0 if step == 0 else mu * 1.3**step
        lines.append(f"{step},{now},1,{1 - done},{violation},{1 - done},{accuracy},80000,1.5")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def make_study(
    path: Path, count: int = 24, objectives: Objectives = TWO, *, seed: int = 0
) -> FakeStudy:
    """Return a study of ``count`` trials with histories on disk."""
    records = make_records(count, seed)
    for record in records[:200]:
        if record.status is Status.COMPLETE:
            write_history(path, record)
    return FakeStudy(path, records, objectives)

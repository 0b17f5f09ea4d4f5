"""What halving saves, and what it costs: verdicts replayed on trials that ran to their end.

The trials (see `_histories.py`) take a while and are kept in `results/halving-trials.json`. A
replay gives them to :class:`autocompress.explore.halving.Halver` in the order in which they ran, as
if each stopped where it says. What a sampler would have proposed otherwise is beyond a replay::

    python benchmarks/halving.py                    # replay what is recorded
    python benchmarks/halving.py --record --data-root DIR

Besides the product's rule that of plain successive halving is measured, which compares where trials
stand at a rung.

It writes `results/halving.json`: epochs saved and hypervolume kept, for each source of trials.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from _histories import SOURCES, context, objectives, record
from _results import FOLDER, save

from autocompress import models
from autocompress.analysis.hypervolume import hypervolume
from autocompress.compression import Prune
from autocompress.config import Sweep
from autocompress.data import load
from autocompress.explore.halving import Halver, Halving, survives
from autocompress.explore.objectives import Objectives
from autocompress.explore.outlook import Way, step_of
from autocompress.explore.record import Status, TrialRecord
from autocompress.lc import StepRecord
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Candidate, MuSchedule

TRIALS = FOLDER / "halving-trials.json"
SHUFFLES = 5
Row = dict[str, Any]
Make = Callable[[int], "Rule"]


class Rule(Protocol):
    """What decides over trials."""

    def begin(self, number: int, candidate: Candidate) -> None: ...

    def step(self, number: int, record: StepRecord) -> bool: ...

    def end(self, record: TrialRecord) -> None: ...


class Standing:
    """Successive halving by where trials stand at a rung, not by where they are likely to end."""

    def __init__(self, *, eta: float = 3.0, grace: float = 0.1, rungs: int = 4) -> None:
        self.eta = eta
        self.fractions = Halving(grace=grace, rungs=rungs).fractions()
        self.ways: dict[int, Way] = {}

    def begin(self, number: int, candidate: Candidate) -> None:
        self.ways[number] = Way.of(candidate)

    def step(self, number: int, record: StepRecord) -> bool:
        way = self.ways[number]
        way.advance(record.val_accuracy, record.val_loss, record.bits)
        due = [f for f in self.fractions if step_of(f, way.steps) == record.step < way.steps]
        if not due:
            return False
        there = [w.at(due[-1]) for n, w in self.ways.items() if n != number]
        stands = [*(stand for stand in there if stand is not None), way.stands[-1]]
        return not survives(np.array([(-acc, bits) for acc, _, bits in stands]), self.eta)

    def end(self, record: TrialRecord) -> None: ...


def replay(rows: Sequence[Row], rule: Rule, goals: Objectives) -> tuple[float, float, float]:
    """Return the shares of epochs saved, of hypervolume kept and of trials stopped."""
    ended: list[Row] = []
    epochs = 0
    for number, row in enumerate(rows):
        tasks = [Task("all", "*.weight", Prune(0.5))] if row["planned"] else []
        rule.begin(number, Candidate(Plan(tasks), LC(mu=MuSchedule(steps=row["planned"] or 1))))
        for step in _steps(row):
            epochs += step.epochs
            if rule.step(number, step):
                rule.end(TrialRecord(number, Status.PRUNED))
                break
        else:
            rule.end(TrialRecord(number, Status.COMPLETE))
            ended.append(row)
    everything = sum(sum(row["epochs"]) for row in rows)
    kept = _volume(ended, goals) / _volume(rows, goals)
    return 1 - epochs / everything, kept, 1 - len(ended) / len(rows)


def _steps(row: Row) -> list[StepRecord]:
    columns = zip(row["epochs"], row["loss"], row["accuracy"], row["bits"], strict=True)
    return [
        StepRecord(i, 0.0, epochs, 0.0, 0.0, loss, accuracy, bits, 0.0)
        for i, (epochs, loss, accuracy, bits) in enumerate(columns)
    ]


def _volume(rows: Sequence[Row], goals: Objectives) -> float:
    points = [goals.to_minimize(row["metrics"]) for row in rows]
    return hypervolume(np.array(points), goals.reference_point())


def rules() -> dict[str, Make]:
    """Return what is compared, by name; each makes a rule from a seed."""
    model = models.build("lenet300", load("digits"))
    names = Sweep().load_objectives()

    def halver(**settings: Any) -> Make:
        return lambda seed: Halver(Halving(**settings), names, model, seed=seed)

    def standing(**settings: Any) -> Make:
        return lambda seed: Standing(**settings)

    found: dict[str, Make] = {"default": halver()}
    for eta in (2, 3, 4):
        for grace in (0, 0.1, 0.25, 0.5):
            found[f"eta {eta}, grace {grace}"] = halver(eta=eta, grace=grace)
    for optimism in (0, 0.25, 1):
        found[f"optimism {optimism}"] = halver(optimism=optimism)
    for rungs in (2, 4, 9):
        found[f"{rungs} rungs"] = halver(rungs=rungs)
    for brackets in (2, 3):
        found[f"{brackets} brackets"] = halver(brackets=brackets)
    for eta in (2, 3, 4):
        for grace in (0.1, 0.25):
            found[f"standing, eta {eta}, grace {grace}"] = standing(eta=eta, grace=grace)
    return found


def record_trials(root: str | None, trials: int, seeds: int) -> None:
    """Run trials of all sources and keep them."""
    there = context(root)
    _, reference = objectives(there)
    runs = [
        {"source": source, "seed": seed, "trials": record(there, source, seed, trials)}
        for source in SOURCES
        for seed in range(seeds)
    ]
    text = json.dumps({"reference": reference, "runs": runs}, separators=(",", ":"))
    TRIALS.write_text(text + "\n", encoding="utf-8")


def measured(name: str, source: str, orders: Sequence[Sequence[Row]], make: Make) -> Row:
    """Replay a rule on some orders of trials."""
    goals = Sweep().load_objectives().resolve(kept()["reference"], 10)
    found = [replay(order, make(seed), goals) for seed, order in enumerate(orders)]
    epochs, volumes, stopped = zip(*found, strict=True)
    return {
        "rule": name,
        "source": source,
        "trials": len(orders[0]),
        "replays": len(found),
        "epochs_saved": round(statistics.median(epochs), 4),
        "hypervolume_kept": round(statistics.median(volumes), 5),
        "hypervolume_kept_least": round(min(volumes), 5),
        "trials_stopped": round(statistics.median(stopped), 4),
    }


@functools.cache
def kept() -> dict[str, Any]:
    """Return the trials that were recorded."""
    found: dict[str, Any] = json.loads(TRIALS.read_text(encoding="utf-8"))
    return found


def orders_of(source: str) -> list[list[Row]]:
    """Return a source's trials, seed by seed; random ones also in other orders, as likely."""
    orders: list[list[Row]] = [r["trials"] for r in kept()["runs"] if r["source"] == source]
    if source == "random" and orders:
        first = orders[0]
        orders += [random.Random(seed).sample(first, len(first)) for seed in range(SHUFFLES)]
    return orders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="run the trials anew")
    parser.add_argument("--data-root", help="folder of MNIST")
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if options.record:
        record_trials(options.data_root, options.trials, options.seeds)
    rows = [
        measured(name, source, orders, make)
        for name, make in rules().items()
        for source in SOURCES
        if (orders := orders_of(source))
    ]
    for row in rows:
        print("  ".join(str(value) for value in row.values()))
    save("halving", rows, seed=0)


if __name__ == "__main__":
    main()

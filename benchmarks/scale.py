"""What a sweep of 10,000 trials costs besides its trials, and its report and its front.

A few trials are asked for and told, then copied in the database until there are 10,000, each with a
digest and metrics of its own. A driver then runs some more whose own work is nothing. Run it with::

    python benchmarks/scale.py [--trials 10000] [--samplers random,guided]

It writes ``benchmarks/results/scale.json`` and fails where a bound below is not kept. All times are
processor time of this process: the machine may do other things meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from autocompress import data, models
from autocompress.analysis.front import Front
from autocompress.analysis.hypervolume import hypervolume, nondominated
from autocompress.config import Sweep
from autocompress.driver import Driver
from autocompress.executors import DoneEvent, Event
from autocompress.explore.opening import Setup, versions
from autocompress.explore.proposals.make import make_proposer
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, TrialResult
from autocompress.metrics import fingerprint
from autocompress.observer import Observer
from autocompress.report.build import build_report
from autocompress.runs import RunFolder

PATTERNS = 40  # trials that are sampled; the others are their copies
MORE = 30  # trials run on top
POINTS = 100_000
BOUNDS = {
    "random: seconds a trial": 0.020,
    "random: kilobytes a trial": 40.0,
    "report seconds": 10.0,
    "front and hypervolume of random points, seconds": 1.0,
    "front and hypervolume of a sphere's points, seconds": 1.0,
}
RESULT = Path(__file__).parent / "results" / "scale.json"
METRICS = ("accuracy", "bytes")


def metrics_of(seed: int) -> dict[str, float]:
    """Return made-up metrics: larger models are mostly better."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(2.5, 5.0)
    accuracy = 1 - 0.9 * math.exp(-size / (1 + 0.3 * rng.random()))
    return {"accuracy": float(accuracy), "bytes": float(round(10**size))}


class AtOnce:
    """An executor whose jobs have ended when they are asked about."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    @property
    def capacity(self) -> int:
        return 2 - len(self.jobs)

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def poll(self, timeout: float) -> list[Event]:
        job = self.jobs.pop(0)
        result = TrialResult(job.number, Status.COMPLETE, metrics_of(job.number), seconds=1.0)
        return [DoneEvent(result)]

    def stop(self, number: int) -> None:
        pass

    def close(self) -> None:
        pass


class Times(Observer):
    """Notes the processor time at which each trial ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def ended(self, record: TrialRecord) -> None:
        self.ends.append(time.process_time())


def fill(file: Path, trials: int) -> None:
    """Copy the trials of a study until there are so many."""
    with closing(sqlite3.connect(file)) as base:
        rows = {
            table: read(base, table)
            for table in ("trials", "trial_params", "trial_values", "trial_user_attributes")
        }
        for number in range(PATTERNS, trials):
            source, new = number % PATTERNS + 1, number + 1
            for table, found in rows.items():
                names, by_trial = found
                values = [copied(row, number, new) for row in by_trial.get(source, ())]
                marks = ", ".join("?" * len(names))
                base.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
                    [[row[name] for name in names] for row in values],
                )
        base.commit()


def read(base: sqlite3.Connection, table: str) -> tuple[list[str], dict[int, list[dict[str, Any]]]]:
    """Return a table's columns but for its own key, and its rows by trial."""
    columns = [row[1:6:4] for row in base.execute(f"PRAGMA table_info({table})")]
    names = [name for name, key in columns if not key or name == "trial_id"]
    found: dict[int, list[dict[str, Any]]] = {}
    for row in base.execute(f"SELECT {', '.join(names)} FROM {table}"):
        named = dict(zip(names, row, strict=True))
        found.setdefault(named["trial_id"], []).append(named)
    return names, found


def copied(row: dict[str, Any], number: int, trial: int) -> dict[str, Any]:
    """Return a row of another trial as one of this trial."""
    row = row | {"trial_id": trial}
    made = metrics_of(number)
    if "number" in row:
        row["number"] = number
    if "objective" in row:
        row["value"] = made["accuracy"] if row["objective"] == 0 else math.log10(made["bytes"])
    if row.get("key") == "pending":
        digest = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        row["value_json"] = json.dumps({**json.loads(row["value_json"]), "digest": digest})
    if row.get("key") == "result":
        result = json.loads(row["value_json"])
        folder = f"trials/{number:04d}"
        row["value_json"] = json.dumps({**result, "metrics": made, "folder": folder})
    return row


def resident() -> float:
    """Return the memory of this process, kilobytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def run_some(folder: Path, study: Study, total: int) -> list[float]:
    """Run trials that take no time; return the seconds that each cost."""
    times = Times()
    driver = Driver(
        study, AtOnce(), RunFolder(folder), total=total, metrics=METRICS, observer=times
    )
    began = time.process_time()
    driver.run()
    return list(np.diff([began, *times.ends]))


def measure(folder: Path, sampler: str, trials: int) -> dict[str, float]:
    """Return what a sweep with so many trials behind it costs."""
    source = data.load("digits")
    model = models.build("digits-cnn", source)
    sweep = Sweep(trials=trials + MORE)
    reference = {"accuracy": 0.98, "bytes": 55_000.0}
    objectives = sweep.load_objectives().resolve(reference, source.classes)
    setup = Setup(objectives, sweep.load_space(), reference, sampler=sampler, trials=sweep.trials)
    with Study.create(folder, setup, model) as study:
        run_some(folder, study, PATTERNS)
    fill(folder / "study.db", trials)
    began = time.process_time()
    with Study.load(folder, model=model) as study:
        found = {"load seconds": time.process_time() - began}
        study.proposer = make_proposer(
            study.sampler, space=setup.space, model=model, objectives=objectives, seed=0
        )
        run_some(folder, study, trials + 2)  # what is computed once
        before = resident()
        costs = run_some(folder, study, trials + MORE)
        found["seconds a trial"] = statistics.median(costs)
        found["kilobytes a trial"] = (resident() - before) / len(costs)
        if sampler == "random":
            found["report seconds"] = seconds(lambda: build_report(study, folder / "report"))
            found["front seconds"] = seconds(study.front)
    return found


def fronts() -> dict[str, float]:
    """Return the time for front and hypervolume of many points in three objectives."""
    rng = np.random.default_rng(0)
    inside = rng.random((POINTS, 3))
    sphere = np.abs(rng.normal(size=(POINTS, 3)))
    sphere = 1 - sphere / np.linalg.norm(sphere, axis=1, keepdims=True)

    def work(points: Any) -> float:
        return hypervolume(points[nondominated(points)], (1.0, 1.0, 1.0))

    name = "front and hypervolume of {} points, seconds"
    return {
        name.format("random"): seconds(lambda: work(inside)),
        name.format("a sphere's"): seconds(lambda: work(sphere)),
    }


def front_of_records() -> float:
    """Return the time for the front of as many trial records in two objectives."""
    objectives = Sweep().load_objectives().resolve({"accuracy": 0.98, "bytes": 55_000.0}, 10)
    records = [
        TrialRecord(number, Status.COMPLETE, metrics=metrics_of(number), folder="trials/0")
        for number in range(POINTS)
    ]
    return seconds(lambda: Front.from_records(records, objectives).hypervolume())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=10_000)
    options.add_argument("--samplers", default="random,guided")
    given = options.parse_args()
    found = fronts() | {"front of 100,000 records, seconds": front_of_records()}
    for sampler in given.samplers.split(","):
        with tempfile.TemporaryDirectory() as folder:
            costs = measure(Path(folder) / "run", sampler, given.trials)
        for name, value in costs.items():
            key = name if name == "report seconds" else f"{sampler}: {name}"
            found[key] = value
            print(f"{key}: {value:.4g}", flush=True)
    for name, value in found.items():
        print(f"{name}: {value:.4g}")
    missed = [name for name, most in BOUNDS.items() if found.get(name, 0.0) > most]
    if given.trials == 10_000:
        facts = {"date": str(date.today()), "hardware": fingerprint(), "versions": versions()}
        shares = {name: found[name] / most for name, most in BOUNDS.items() if name in found}
        parts = {"bounds": BOUNDS, "measured": found, "shares of bounds": shares}
        text = json.dumps({**facts, **parts}, indent=2)
        RESULT.write_text(text + "\n")
    sys.exit(f"above their bounds: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()

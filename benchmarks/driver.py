"""What a sweep costs besides its trials: 200 trials whose own work is nothing.

Asks, samples, stores, hands to a worker process, hears back, tells, keeps the front: everything
the driver does, on the default sweep (``mixed`` on ``digits-cnn``). Run it with::

    python benchmarks/driver.py

It writes ``benchmarks/results/driver.json`` and fails above 50 ms a trial.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import cloudpickle

from autocompress import data, models
from autocompress.config import Sweep
from autocompress.driver import Driver
from autocompress.executors import Executor
from autocompress.executors.local import LocalExecutor
from autocompress.explore.opening import Setup, versions
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.seeding import make_seeds
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, OnStep, TrialContext, TrialResult
from autocompress.layers import find_layers
from autocompress.metrics import fingerprint
from autocompress.observer import Observer
from autocompress.runs import RunFolder

TRIALS = 200
WARM_UP = 4  # trials until all workers have started
MOST = 0.050  # seconds a trial
RESULT = Path(__file__).parent / "results" / "driver.json"
METRICS = ("accuracy", "bytes")

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def nothing(job: Job, context: TrialContext, on_step: OnStep) -> TrialResult:
    """A trial that takes no time; its metrics depend on its seed."""
    metrics = {"accuracy": 0.5 + job.seed % 997 / 2000, "bytes": 1000.0 + job.seed % 49999}
    return TrialResult(job.number, Status.COMPLETE, metrics, seconds=1e-6)


class Times(Observer):
    """Notes when each trial ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def ended(self, record: TrialRecord) -> None:
        self.ends.append(time.perf_counter())


def run(folder: Path, executor: Executor, context: TrialContext) -> list[float]:
    """Return the seconds between the ends of the trials after the warm-up."""
    sweep = Sweep(trials=TRIALS + WARM_UP)
    reference = {"accuracy": 0.98, "bytes": 55_000.0}
    objectives = sweep.load_objectives().resolve(reference, context.data.classes)
    setup = Setup(objectives, sweep.load_space(), reference, trials=sweep.trials)
    seeds = make_seeds(setup.space, find_layers(context.model), sweep.trials)
    times = Times()
    with Study.create(folder, setup, context.model, seeds=seeds) as study:
        total, metrics = sweep.trials, METRICS
        Driver(
            study, executor, RunFolder(folder), total=total, metrics=metrics, observer=times
        ).run()
    ends = times.ends[WARM_UP - 1 :]
    return [end - begin for begin, end in itertools.pairwise(ends)]


def main() -> int:
    digits = data.load("digits")
    context = TrialContext(models.build("digits-cnn", digits), digits)
    with (
        tempfile.TemporaryDirectory() as temporary,
        LocalExecutor(context, workers=2, run=nothing) as executor,
    ):
        cpu = time.process_time()
        seconds = run(Path(temporary) / "run", executor, context)
        cpu = (time.process_time() - cpu) / (len(seconds) + WARM_UP)
    result = {
        "what": "driver seconds a trial, trials that do nothing, two worker processes",
        "trials": len(seconds),
        "mean": round(statistics.fmean(seconds), 5),
        "median": round(statistics.median(seconds), 5),
        "last_quarter_mean": round(statistics.fmean(seconds[-len(seconds) // 4 :]), 5),
        "max": round(max(seconds), 5),
        "driver_cpu_mean": round(cpu, 5),
        "limit": MOST,
        "date": date.today().isoformat(),
        "hardware": fingerprint(),
        "versions": versions(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0 if result["mean"] <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())

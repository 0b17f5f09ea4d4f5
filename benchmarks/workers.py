"""What a second worker process is worth: real trials by one worker, and the same trials by two.

L-C trials of LeNet-300-100 on a subset of MNIST, each with another density of its layers and
otherwise the same, so that all take about as long; one thread for each worker. The driver is the
product's, with its study. Run it alone on a machine of at least two cores::

    python benchmarks/workers.py --data-root DIR [--trials 24] [--rounds 2]

It writes ``benchmarks/results/workers.json`` and fails below 1.8. What is timed begins when all
workers are up, and ends when there is no trial left for one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from _results import save
from _search_tasks import TASKS, one_thread
from driver import Times

from autocompress.driver import Driver
from autocompress.executors.local import LocalExecutor
from autocompress.explore.objectives import Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.explore.trial import TrialContext
from autocompress.runs import RunFolder

LEAST = 1.8
METRICS = ("accuracy", "bytes")


SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.02, "high": 0.2}}]}
    ],
    "recipe": {"mu": {"steps": 10}, "epochs_per_step": 1, "batch_size": 64},
}


def trials_per_minute(
    context: TrialContext, objectives: Objectives, workers: int, trials: int
) -> float:
    """Run a sweep; return its trials per minute while all workers had one.

    The first two trials of each worker, as it comes up, are left out, and the last of each.
    """
    space = SearchSpace.from_dict(SPACE)
    setup = Setup(objectives, space, {"accuracy": 1.0, "bytes": 1.0}, sampler="random")
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        with (
            Study.create(run.path, setup, context.model) as study,
            LocalExecutor(context, workers=workers) as executor,
        ):
            total = trials + 2 * workers
            Driver(study, executor, run, total=total, metrics=METRICS, observer=times).run()
    first, last = times.ends[2 * workers - 1], times.ends[-workers]
    return 60 * (len(times.ends) - 3 * workers + 1) / (last - first)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data-root", required=True, help="folder of MNIST")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args(arguments)
    task = TASKS["lenet300-mnist"]
    load = os.getloadavg()[0]
    rates: dict[int, list[float]] = {1: [], 2: []}
    with one_thread():
        model, data = task.load(asked.data_root)
        context, objectives = TrialContext(model, data), task.resolved(model, data)
        for _ in range(asked.rounds):
            for workers, found in rates.items():
                found.append(trials_per_minute(context, objectives, workers, asked.trials))
                print(f"{workers} workers: {found[-1]:.1f} trials a minute", flush=True)
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    row = {
        "trials": asked.trials,
        "one_worker": [round(rate, 2) for rate in rates[1]],
        "two_workers": [round(rate, 2) for rate in rates[2]],
        "ratio": round(ratio, 3),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
    }
    save("workers", [row], seed=0)
    print(json.dumps(row))
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())

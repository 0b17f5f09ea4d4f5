"""What scheduling on a Ray cluster costs: trials that only sleep, on simulated nodes.

Nodes of a :class:`ray.cluster_utils.Cluster` are processes of this machine with as many CPUs as
they are told. A sweep with its study, its driver and its Ray executor (Ray Tune) runs trials that
sleep and do nothing else, in workers that stay, and have no torch. Run it with::

    python benchmarks/cluster.py [--nodes 4] [--cpus 4] [--trials 500] [--seconds 2]

It writes ``benchmarks/results/cluster-NODESxCPUS.json``. *Throughput* is the share of the ideal: of
all workers sleeping all the time, from when the last of them has begun its first trial until the
last trial ends. A sleep that the machine ends late counts against it, too; *between trials* is what
a worker waited for its next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudpickle

from autocompress.driver import Driver
from autocompress.executors.ray.cluster import load_ray
from autocompress.executors.ray.executor import RayExecutor
from autocompress.executors.ray.settings import RaySettings
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup, versions
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.lc import StepRecord
from autocompress.metrics import fingerprint
from autocompress.runs import RunFolder
from autocompress.testing.executors import toy_context

RESULTS = Path(__file__).parent / "results"
STEP = asdict(StepRecord(0, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))
METRICS = ("accuracy", "bytes")


class Sleeper:
    """A worker's work: to sleep; notes when it began and ended, on the clock of this machine."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(
        self, job: dict[str, Any], name: str, on_step: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        began = time.monotonic()
        time.sleep(self.seconds)
        on_step(STEP)
        density = job["candidate"]["tasks"][0]["compression"]["density"]
        diary = Path(job["folder"]) / "diary.json"
        heavy = "torch" in sys.modules
        diary.write_text(json.dumps([os.getpid(), began, time.monotonic(), heavy]))
        metrics = {"accuracy": density, "bytes": 100.0 * density}
        return {"number": job["number"], "status": "complete", "metrics": metrics, "seconds": 1.0}


@contextmanager
def simulated(nodes: int, cpus: int) -> Iterator[str]:
    """Have a cluster of so many nodes besides its head; gives its address."""
    ray = load_ray(loopback=True)
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 80 * 2**20}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus, **memory)
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


def new_study(folder: Path, trials: int) -> Study:
    """Return a study of a toy network, whose candidates are drawn at random."""
    scheme = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
    rule = {"match": "*", "share": True, "schemes": [scheme]}
    space = SearchSpace.from_dict({"layers": [rule], "recipe": {"method": "direct"}})
    axes = (
        Objective("accuracy", "maximize", worst=0.0),
        Objective("bytes", "minimize", worst=99.0),
    )
    reference = {"accuracy": 1.0, "bytes": 100.0}
    setup = Setup(Objectives("toy", axes), space, reference, sampler="random", trials=trials)
    return Study.create(folder, setup, toy_context().model)


def run(address: str, folder: Path, workers: int, trials: int, seconds: float) -> dict[str, float]:
    """Run a sweep; return what it took."""
    study = new_study(folder, trials)
    settings = RaySettings(address=address, max_concurrent=workers)

    def load() -> Sleeper:
        return Sleeper(seconds)

    began = time.monotonic()
    with RayExecutor(toy_context(), folder, settings, load=load) as executor:
        driver = Driver(study, executor, RunFolder(folder), total=trials, metrics=METRICS)
        main, all_threads = time.thread_time(), time.process_time()
        driver.run()
        main, all_threads = time.thread_time() - main, time.process_time() - all_threads
    diaries = [json.loads(path.read_text()) for path in folder.glob("trials/*/diary.json")]
    by_worker: dict[int, list[tuple[float, float]]] = {}
    for process, start, end, heavy in diaries:
        assert not heavy, "a worker has imported torch"
        by_worker.setdefault(process, []).append((start, end))
    gaps = []
    for times in by_worker.values():
        times.sort()
        gaps += [after[0] - before[1] for before, after in pairwise(times)]
    slept = [end - start for times in by_worker.values() for start, end in times]
    if len(by_worker) < workers:
        sys.exit(f"only {len(by_worker)} of {workers} workers ever came up")
    up = sorted(times[0][0] for times in by_worker.values())[workers - 1]
    last = max(end for times in by_worker.values() for _, end in times)
    done = [start + seconds - max(start, up) for times in by_worker.values() for start, _ in times]
    return {
        "throughput, of the ideal": sum(max(0.0, part) for part in done) / workers / (last - up),
        "seconds": last - up,
        "seconds until the workers were up": up - began,
        "worker processes": len(by_worker),
        "between trials, median milliseconds": 1e3 * statistics.median(gaps),
        "between trials, mean milliseconds": 1e3 * statistics.fmean(gaps),
        "a trial's sleep, mean seconds": statistics.fmean(slept),
        "driver's thread, processor milliseconds a trial": 1e3 * main / trials,
        "driver's process, processor milliseconds a trial": 1e3 * all_threads / trials,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=4)
    options.add_argument("--cpus", type=int, default=4)
    options.add_argument("--trials", type=int, default=500)
    options.add_argument("--seconds", type=float, default=2.0)
    given = options.parse_args()
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    load = os.getloadavg()[0]
    with simulated(given.nodes, given.cpus) as address, tempfile.TemporaryDirectory() as folder:
        workers = given.nodes * given.cpus
        found = run(address, Path(folder), workers, given.trials, given.seconds)
    keep(f"cluster-{given.nodes}x{given.cpus}", found, given, load)


def keep(name: str, found: dict[str, float], given: argparse.Namespace, load: float) -> None:
    """Print what was measured, and write it to ``results/NAME.json``."""
    import ray

    for quantity, value in found.items():
        print(f"{quantity}: {value:.4g}")
    facts = {
        "date": str(date.today()),
        "hardware": fingerprint(),
        "versions": {**versions(), "ray": ray.__version__},
        "load of the machine before": load,
        "asked": vars(given),
    }
    text = json.dumps({**facts, "measured": found}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

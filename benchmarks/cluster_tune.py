"""What Ray Tune's own ``Tuner`` costs with the trials of ``cluster.py``, which only sleep.

The same simulated nodes. Tune reuses its actors, saves no checkpoints and draws one number at
random for each trial: there is no study that is asked and told, and nothing is kept of a trial but
its last result. Run it with::

    python benchmarks/cluster_tune.py [--nodes 4] [--cpus 4] [--trials 500] [--seconds 2]

It writes ``benchmarks/results/cluster-tune-NODESxCPUS.json``. *Throughput* is the share of the
ideal from when as many trials have begun as there are places.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

from cluster import keep, simulated


def run(address: str, folder: str, workers: int, trials: int, seconds: float) -> dict[str, float]:
    """Run the trials; return what it took."""
    import ray
    from ray import tune

    class Sleeper(tune.Trainable):  # type: ignore[misc]
        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            began = time.time()
            time.sleep(seconds)
            return {"began": began, "ended": time.time(), "process": os.getpid(), "done": True}

    ray.init(address=address, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(Sleeper, {"cpu": 1}),
        param_space={"density": tune.uniform(0.1, 0.9)},
        tune_config=tune.TuneConfig(
            num_samples=trials, max_concurrent_trials=workers, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=folder,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    cpu = time.process_time()
    rows = [result.metrics for result in tuner.fit()]
    cpu = time.process_time() - cpu
    up = sorted(row["began"] for row in rows)[workers - 1]
    later = sum(row["began"] >= up for row in rows)
    wall = max(row["ended"] for row in rows) - up
    return {
        "throughput, of the ideal": later * seconds / workers / wall,
        "seconds": wall,
        "worker processes": len({row["process"] for row in rows}),
        "driver's process, processor milliseconds a trial": 1e3 * cpu / trials,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=4)
    options.add_argument("--cpus", type=int, default=4)
    options.add_argument("--trials", type=int, default=500)
    options.add_argument("--seconds", type=float, default=2.0)
    given = options.parse_args()
    load = os.getloadavg()[0]
    with simulated(given.nodes, given.cpus) as address, tempfile.TemporaryDirectory() as folder:
        found = run(address, folder, given.nodes * given.cpus, given.trials, given.seconds)
    keep(f"cluster-tune-{given.nodes}x{given.cpus}", found, given, load)


if __name__ == "__main__":
    main()

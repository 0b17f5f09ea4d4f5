"""C steps against independent libraries: time, and distance from the optimum.

The codebook of 266,200 weights (LeNet-300-100's), found and assigned, against scikit-learn's
``KMeans(n_init=10)`` and ``kmeans1d``; magnitude pruning against a NumPy sort; a truncated SVD
against NumPy's. One thread, all rivals in turn, medians. Run it with::

    python -m pip install '.[benchmark]' && python benchmarks/c_step.py

It writes ``benchmarks/results/c_step.json`` and fails unless every codebook of k = 2 and k = 16 is
at least 10 times as fast as both, with a distortion within 1e-6 of the optimum.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import kmeans1d
import numpy as np
import torch
from _results import save
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from autocompress.compression.lowrank import LowRank
from autocompress.compression.optimal_kmeans import assign, optimal_kmeans
from autocompress.compression.prune import Prune

WEIGHTS = 266_200
LEAST_RATIO, MOST_GAP = 10.0, 1e-6
JUDGED = (2, 16)
MOST_CENTRES = 64  # beyond it, scikit-learn takes minutes

Run = Callable[[], np.ndarray]  # gives the decoded weights


def sample(kind: str, seed: int) -> torch.Tensor:
    """Return weights drawn from a normal or a Laplace distribution, float32."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(WEIGHTS, generator=generator)
    if kind == "normal":
        return 0.05 * normal
    return 0.05 * normal.sign() * torch.empty(WEIGHTS).exponential_(generator=generator)


def codebooks(values: torch.Tensor, k: int) -> dict[str, Run]:
    """Return the rivals for one codebook."""
    column, flat = values.numpy()[:, None], values.numpy()

    def ours() -> np.ndarray:
        codebook = optimal_kmeans(values, k)
        indices = assign(values, codebook)
        marks.append(time.perf_counter())
        return codebook[indices.long()].numpy()

    def theirs() -> np.ndarray:
        found = kmeans1d.cluster(flat, k)
        marks.append(time.perf_counter())
        return np.asarray(found.centroids)[found.clusters]

    def sklearn() -> np.ndarray:
        found = KMeans(k, n_init=10, random_state=0).fit(column)
        marks.append(time.perf_counter())
        return found.cluster_centers_[found.labels_, 0]

    rivals: dict[str, Run] = {"autocompress": ours, "kmeans1d": theirs}
    return rivals if k > MOST_CENTRES else rivals | {"scikit-learn": sklearn}


def prunes(values: torch.Tensor, density: float) -> dict[str, Run]:
    """Return the rivals for magnitude pruning."""
    kept = max(1, round(density * len(values)))

    def ours() -> np.ndarray:
        code = Prune(density).project((values,), mu=1.0)
        marks.append(time.perf_counter())
        return code.decode()[0].numpy()

    def numpy_sort() -> np.ndarray:
        flat = values.numpy()
        order = np.argsort(-np.abs(flat), kind="stable")[:kept]
        out = np.zeros_like(flat)
        out[order] = flat[order]
        marks.append(time.perf_counter())
        return out

    return {"autocompress": ours, "NumPy": numpy_sort}


def low_ranks(values: torch.Tensor, rank: int) -> dict[str, Run]:
    """Return the rivals for the truncated SVD of a 300 × 784 matrix."""
    matrix = values[: 300 * 784].view(300, 784)

    def ours() -> np.ndarray:
        code = LowRank(rank).project((matrix,), mu=1.0)
        marks.append(time.perf_counter())
        return code.decode()[0].numpy()

    def numpy_svd() -> np.ndarray:
        u, s, v = np.linalg.svd(matrix.numpy(), full_matrices=False)
        marks.append(time.perf_counter())
        return u[:, :rank] * s[:rank] @ v[:rank]

    return {"autocompress": ours, "NumPy": numpy_svd}


marks: list[float] = []  # when a rival was done, before its weights were decoded for the judge


def race(rivals: dict[str, Run], runs: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return each rival's median milliseconds and decoded weights; ours run five times as often."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    decoded: dict[str, np.ndarray] = {}
    for name, run in rivals.items():
        if name == "autocompress":
            run()  # first calls load libraries
    for _ in range(runs):
        for name, run in rivals.items():
            for _ in range(5 if name == "autocompress" else 1):
                begin = time.perf_counter()
                decoded[name] = run().ravel()
                times[name].append(1e3 * (marks[-1] - begin))
    return {name: statistics.median(t) for name, t in times.items()}, decoded


def rows(
    what: str, kind: str, values: torch.Tensor, rivals: dict[str, Run], runs: int
) -> Iterable[dict[str, object]]:
    """Yield a row for each rival; the least distortion of all is the optimum."""
    times, decoded = race(rivals, runs)
    distortion = {
        name: float(((values[: len(d)].double().numpy() - d) ** 2).sum())
        for name, d in decoded.items()
    }
    optimum = min(distortion.values())
    for name in rivals:
        yield {
            "what": what,
            "weights": kind,
            "n": len(decoded[name]),
            "method": name,
            "ms": round(times[name], 3),
            "times_ours": round(times[name] / times["autocompress"], 2),
            "gap": (distortion[name] - optimum) / optimum,
        }


def show(row: dict[str, object]) -> None:
    print(
        f"{row['what']:16} {row['weights']:8} {row['method']:13} {row['ms']:10.2f} ms "
        f"{row['times_ours']:9.1f} x   gap {row['gap']:.1e}",
        flush=True,
    )


def failures(results: list[dict[str, object]]) -> list[str]:
    """Return what the results miss."""
    missed = []
    for row in results:
        if row["what"] not in {f"codebook k={k}" for k in JUDGED}:
            continue
        name = f"{row['what']} of {row['weights']} weights"
        if row["method"] == "autocompress":
            if float(str(row["gap"])) > MOST_GAP:
                missed.append(f"{name}: distortion {row['gap']} above the optimum")
        elif float(str(row["times_ours"])) < LEAST_RATIO:
            missed.append(f"{name}: only {row['times_ours']} times as fast as {row['method']}")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--k", type=int, nargs="+", default=[2, 4, 16, 256], help="codebook sizes")
    parser.add_argument("--runs", type=int, default=3, help="runs of each rival")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: list[dict[str, object]] = []
    with threadpool_limits(1):
        for kind in ("normal", "laplace"):
            values = sample(kind, options.seed)
            contests = [(f"codebook k={k}", codebooks(values, k)) for k in options.k]
            contests.append(("prune 5 %", prunes(values, 0.05)))
            contests.append(("low rank 10", low_ranks(values, 10)))
            for what, rivals in contests:
                runs = 1 if what == "codebook k=256" else options.runs
                for row in rows(what, kind, values, rivals, runs):
                    show(row)
                    results.append(row)
    path = save("c_step", results, seed=options.seed)
    written = json.loads(path.read_text())
    written["versions"] |= {name: version(name) for name in ("scikit-learn", "kmeans1d")}
    path.write_text(json.dumps(written, indent=2) + "\n")
    missed = failures(results)
    print(f"written to {path}", *missed, sep="\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

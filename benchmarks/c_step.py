"""Every C step against the obvious NumPy, SciPy and scikit-learn way of doing the same.

Three sets of weights: LeNet-300-100 (three layers, 266,200 weights, one task), the convolutions of
ResNet-20 (270,896 weights, one task) and one matrix of 10 million. Ours and the rivals take turns
in one process, on one thread; medians of the CPU time of that thread, system calls included. With
nothing to wait for, that is the time it takes on an idle machine, and what other programs take does
not count; no other thread of the process may work meanwhile, which is checked. Both find what has
to be stored (positions of survivors and their values, levels, indices) and decode it, and the
distance of the decoded weights from the given ones says who solved the problem better. Each works
on what is its own, NumPy's arrays or torch's tensors: no conversion between them is timed. Ours
alone refuses NaN and infinity, which is timed. Peak memory is that of a process of its own where
what is free is given back at once, so that only what is in use counts; the JSON also has the peak
with the C library as it is, whose heap has gaps (``extra_resident``)::

    python -m pip install '.[benchmark]' && python benchmarks/c_step.py [--sets lenet300 resnet20]

It writes ``benchmarks/results/c_step.json`` and ``c_step.md``; contests that were not run keep
their last results there. It fails if any of our C steps is slower than its rival or further from
the weights, a codebook is less than 10 times as fast as that of scikit-learn or NumPy (kmeans1d is
compiled: it has to be no faster), or a C step needs more than four times the memory of its weights
besides them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from _c_step_cases import MU, SETS, Case, cases, distance, weights
from _results import FOLDER, save
from _rivals.arrays import Arrays, Rival
from threadpoolctl import threadpool_limits

CODEBOOK_RATIO, MOST_MEMORY, MOST_GAP = 10.0, 4.0, 1e-4
OURS = "autocompress"
PAGES = 1 << 16  # what is larger has pages of its own
MOST_RUNS = 1001  # a millisecond is measured often
NOTES = (
    "Every method finds the stored form (positions and values of survivors, levels, indices) and",
    "decodes it, from arrays or tensors of its own library. Ours also refuses NaN and infinity.",
    "Times are CPU time of the one thread. Memory is what is in use at most, besides the weights.",
)


Runner: TypeAlias = "Callable[[], Sequence[np.ndarray | torch.Tensor]]"


def ours(case: Case, arrays: Arrays) -> Runner:
    """Return our C step, decoded like the rivals'."""
    tensors = tuple(torch.from_numpy(w) for w in arrays)
    return lambda: case.scheme.project(tensors, mu=MU, weighting=case.norm).decode()


def theirs(method: Rival, arrays: Arrays) -> Runner:
    return lambda: method(arrays)


def race(case: Case, arrays: Arrays, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return everyone's median milliseconds, and squared distances from the weights.

    Time is CPU time of this thread. They take turns until each has had ``seconds`` or many runs,
    but at least one.

    Raises:
        RuntimeError: other threads worked too: their time would be missing.
    """
    runners = {OURS: ours(case, arrays)}
    runners |= {name: theirs(method, arrays) for name, method in case.rivals.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    whole = dict.fromkeys(runners, 0.0)
    errors: dict[str, float] = {}
    runners[OURS]()  # first calls load libraries
    waiting = dict(runners)
    while waiting:
        for name, run in list(waiting.items()):
            process, began = time.process_time(), time.thread_time()
            decoded = run()
            times[name].append(time.thread_time() - began)
            whole[name] += time.process_time() - process
            if name not in errors:  # every run decodes the same
                errors[name] = distance(arrays, [np.asarray(d) for d in decoded], case.norm)
            if sum(times[name]) > seconds or len(times[name]) >= MOST_RUNS:
                del waiting[name]
    for name, total in whole.items():
        if total > 1.05 * sum(times[name]) + 0.01:
            raise RuntimeError(f"{name} took {total:.3f} s of CPU on more than one thread")
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}, errors


def contest(name: str, seed: int, seconds: float, only: list[str]) -> list[dict[str, object]]:
    """Run all contests on one set of weights."""
    arrays = weights(name, seed)
    rows: list[dict[str, object]] = []
    for what, case in cases(arrays).items():
        if only and what not in only:
            continue
        times, errors = race(case, arrays, seconds)
        alive, resident = (extra_memory(name, what, seed, heap) for heap in (False, True))
        for method in times:
            own = method == OURS
            rows.append(
                {
                    "weights": name,
                    "what": what,
                    "method": method,
                    "ms": round(times[method], 3),
                    "clock": "thread CPU",
                    "times_ours": round(times[method] / times[OURS], 2),
                    "error_over_ours": errors[method] / errors[OURS] if errors[OURS] else 1.0,
                    "exact": case.exact,
                    "extra_memory": alive if own else None,
                    "extra_resident": resident if own else None,
                }
            )
            show(rows[-1])
    return rows


def show(row: dict[str, object]) -> None:
    memory = row["extra_memory"]
    print(
        f"{row['weights']:9} {row['what']:28} {row['method']:13} {row['ms']:11.2f} ms "
        f"{row['times_ours']:9.2f} x   error {row['error_over_ours']:.6f} of ours"
        + ("" if memory is None else f"   extra memory {memory:.1f} x the weights"),
        flush=True,
    )


def extra_memory(name: str, what: str, seed: int, heap: bool) -> float:
    """Return the peak memory of a C step besides its weights, in multiples of them.

    Measured in a process of its own, where nothing else has set the peak before.

    Args:
        name: The set of weights.
        what: The contest.
        seed: Of the weights.
        heap: Whether the C library is left as it is. Else whatever takes pages of its own is given
            them, and gives them back when it is free: the peak is then that of what is in use,
            without the gaps between, which are several megabytes whatever the weights.
    """
    command = [sys.executable, __file__, "--memory", what, "--sets", name, "--seed", str(seed)]
    settings = {} if heap else {"MALLOC_MMAP_THRESHOLD_": str(PAGES)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | settings
    )
    return float(done.stdout)


def measure_memory(name: str, what: str, seed: int) -> float:
    """In the process of its own: the rise of its peak memory during a C step.

    Before that, the C step runs once, of a large set on a part of it: what it loads, and what
    libraries keep, is not counted. What is free is handed back, so that using it again counts.
    """
    arrays = weights(name, seed)
    case = cases(arrays)[what]
    tensors = tuple(torch.from_numpy(w) for w in arrays)
    whole = name != "ten" or case.norm is not None
    small = tensors if whole else tuple(t[:64, :64].contiguous() for t in tensors)
    case.scheme.project(small, mu=MU, weighting=case.norm)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _peak()
    case.scheme.project(tensors, mu=MU, weighting=case.norm)
    return (_peak() - before) / sum(w.nbytes for w in arrays)


def _peak() -> int:
    """Peak resident memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def failures(rows: list[dict[str, object]]) -> list[str]:
    """Return what the results miss."""
    missed = []
    for row in rows:
        name = f"{row['what']} on {row['weights']}"
        memory = row["extra_memory"]
        if isinstance(memory, float) and memory > MOST_MEMORY:
            missed.append(f"{name}: {memory:.1f} times the weights' memory")
        if row["method"] == OURS:
            continue
        codebook = str(row["what"]).startswith("codebook") and row["method"] != "kmeans1d"
        least = CODEBOOK_RATIO if codebook else 1.0
        if float(str(row["times_ours"])) < least:
            missed.append(f"{name}: only {row['times_ours']} times as fast as {row['method']}")
        if row["exact"] and float(str(row["error_over_ours"])) < 1 - MOST_GAP:
            missed.append(f"{name}: {row['method']} is nearer, {row['error_over_ours']}")
    return missed


def table(rows: list[dict[str, object]]) -> str:
    """Return the results as Markdown: a line for each contest."""
    lines = [
        "| weights | C step | ours, ms | rival | its time / ours | its error / ours "
        "| extra memory / weights |",
        "|---|---|---|---|---|---|---|",
    ]
    mine = {(r["weights"], r["what"]): r for r in rows if r["method"] == OURS}
    for key, own in mine.items():
        others = [r for r in rows if (r["weights"], r["what"]) == key and r is not own]
        memory = "" if own["extra_memory"] is None else f"{own['extra_memory']:.1f}"
        for other in others or [None]:
            cells = (
                ("-", "-", "-")
                if other is None
                else (
                    f"{other['method']}",
                    f"{other['times_ours']:.1f}",
                    f"{other['error_over_ours']:.4f}",
                )
            )
            lines.append(
                f"| {key[0]} | {key[1]} | {own['ms']:.1f} | {' | '.join(cells)} | {memory} |"
            )
    lines += ["", *NOTES]
    return "\n".join(lines) + "\n"


def merged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Put new rows in the place of older ones of the same contests, in the saved results."""
    path = FOLDER / "c_step.json"
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {(row["weights"], row["what"]) for row in rows}
    kept = [row for row in old if (row.get("weights"), row["what"]) not in new and "exact" in row]
    return sorted(kept + rows, key=lambda row: SETS.index(str(row["weights"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--only", nargs="+", default=[], help="contests by name")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each rival")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if options.memory:
            print(measure_memory(options.sets[0], options.memory, options.seed))
            return
        rows: list[dict[str, object]] = []
        for name in options.sets:
            rows += contest(name, options.seed, options.seconds, options.only)
    if rows:
        rows = merged(rows)
        path = save("c_step", rows, seed=options.seed)
        written = json.loads(path.read_text())
        libraries = ("scikit-learn", "scipy", "kmeans1d", "ml_dtypes")
        written["versions"] |= {name: version(name) for name in libraries}
        path.write_text(json.dumps(written, indent=2) + "\n")
        path.with_suffix(".md").write_text(table(rows))
        print(f"written to {path}")
    missed = failures(rows)
    print(*missed, sep="\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

"""Our search against Optuna's samplers: hypervolume against trials and against epochs.

The same space, worker, objectives and budget for all (``_search_tasks.py``, ``_search_runs.py``);
hypervolume in log10 bytes and validation accuracy, of the region within five points of the
reference's accuracy. Run it with::

    python benchmarks/search.py --data-root DIR [--seeds 0 1 2] [--trials 200] [--tasks TASK]

Hours on two cores. Every finished run is kept in ``--work``, so that an interrupted benchmark goes
on, and several can share the work (``--only ours/0``). Writes ``results/search.json``, the trials
of all runs as ``results/search-TASK.csv`` and the curves as ``results/search.png``.

Drivers:

- ``random``, ``tpe`` (multivariate, grouped), ``nsga2``: Optuna's own, otherwise with its defaults;
- ``ours``: ``autocompress search`` with its defaults;
- ``halving``: the same with ``--halving``;
- ablations: ``no-sensitivity`` (uniform candidates first, a regression that knows no guess),
  ``seeds-only`` (candidates by sensitivity first, then TPE), ``guided-only`` (no candidates told in
  advance, nor a guess), ``tpe-recipe`` (Optuna's TPE, the recipe fixed to the sensible one).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _results import FOLDER, save
from _search_figure import draw
from _search_runs import (
    RIVALS,
    Row,
    epochs_until,
    hypervolumes,
    load_rows,
    run_rival,
    run_sweep,
    save_rows,
)
from _search_tasks import TASKS, SearchTask, one_thread

OURS: Mapping[str, Mapping[str, Any]] = {
    "ours": {},
    "halving": {"halving": True},
    "no-sensitivity": {"seeding": "uniform", "sampler": "guided"},
    "seeds-only": {"sampler": "tpe"},
    "guided-only": {"seeding": "none", "sampler": "guided"},
}
ABLATIONS = ("no-sensitivity", "seeds-only", "guided-only", "tpe-recipe")
FIXED = {"tpe-recipe": "tpe"}
DRIVERS = (*RIVALS, "ours", "halving", *ABLATIONS)
AT = (10, 20, 50, 100, 200)
COLUMNS = ("driver", "seed", "number", "origin", "status", "accuracy", "bytes", "epochs", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", default="data", help="a torchvision root")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--drivers", nargs="+", default=list(DRIVERS), choices=DRIVERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--ablation-trials", type=int, default=60)
    parser.add_argument("--only", nargs="*", metavar="DRIVER/SEED", help="run these, then stop")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "ac-search")
    parser.add_argument("--no-runs", action="store_true", help="results of the runs that are there")
    args = parser.parse_args()
    with one_thread():
        for name in args.tasks:
            for seed in args.seeds:
                for driver in args.drivers:
                    wanted = args.only is None or f"{driver}/{seed}" in args.only
                    if wanted and not args.no_runs:
                        run(TASKS[name], driver, seed, args)
        if args.only is None:
            conclude(args)


def run(task: SearchTask, driver: str, seed: int, args: argparse.Namespace) -> None:
    """Make one run, unless it is there."""
    path = place(args, task, driver, seed)
    if load_rows(path) is not None:
        return
    print(f"{task.name} {driver} {seed} ...", flush=True)
    if driver in OURS:
        rows = run_sweep(task, OURS[driver], seed, trials_of(args, driver), args.data_root)
    else:
        fixed = driver in FIXED
        rival = FIXED.get(driver, driver)
        trials = trials_of(args, driver)
        rows = run_rival(task, rival, seed, trials, args.data_root, fixed_recipe=fixed)
    save_rows(path, rows, task=task.name, driver=driver, seed=seed)


def trials_of(args: argparse.Namespace, driver: str) -> int:
    """Return how many trials a run of a driver has; ablations are shorter."""
    return int(min(args.trials, args.ablation_trials) if driver in ABLATIONS else args.trials)


def place(args: argparse.Namespace, task: SearchTask, driver: str, seed: int) -> Path:
    """Return where a run is kept."""
    folder = args.work / (task.name if args.trials == 200 else f"{task.name}-{args.trials}")
    return Path(folder) / f"{driver}-{seed}.json"


def conclude(args: argparse.Namespace) -> None:
    """Write results and figure of all the runs that are there."""
    rows: list[dict[str, object]] = []
    curves: dict[str, dict[str, list[tuple[list[float], list[int]]]]] = {}
    for name in args.tasks:
        task = TASKS[name]
        runs = {
            driver: {
                s: found for s in args.seeds if (found := load_rows(place(args, task, driver, s)))
            }
            for driver in args.drivers
        }
        runs = {driver: found for driver, found in runs.items() if found}
        if not runs:
            continue
        model, data = task.load(args.data_root)
        objectives = task.resolved(model, data)
        curves[name] = {
            driver: [
                (
                    hypervolumes(trials[: args.trials], objectives),
                    epochs_until(trials[: args.trials]),
                )
                for trials in found.values()
            ]
            for driver, found in runs.items()
        }
        for driver in runs:
            row = summary(name, driver, list(runs[driver]), curves[name])
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        keep(FOLDER / f"search-{name}.csv", runs)
    save("search", rows, seed=min(args.seeds))
    draw(curves, FOLDER / "search.png")


def summary(
    task: str,
    driver: str,
    seeds: Sequence[int],
    curves: Mapping[str, Sequence[tuple[list[float], list[int]]]],
) -> dict[str, object]:
    """Return the medians over seeds of one driver on one task."""
    found = curves[driver]
    row: dict[str, object] = {"task": task, "driver": driver, "seeds": list(seeds)}
    for at in AT:
        values = [volumes[at - 1] for volumes, _ in found if len(volumes) >= at]
        if values:
            row[f"hypervolume at {at}"] = round(statistics.median(values), 5)
    row["hypervolumes at the end"] = [round(volumes[-1], 5) for volumes, _ in found]
    row["epochs"] = statistics.median(epochs[-1] for _, epochs in found)
    if driver in ABLATIONS and "ours" in curves:
        row |= against(curves["ours"], found)
    for rival in RIVALS:
        if rival in curves and driver not in (*RIVALS, *ABLATIONS):
            goal = statistics.median(volumes[-1] for volumes, _ in curves[rival])
            taken = [first(volumes, goal) for volumes, _ in found]
            row[f"trials to {rival}'s end"] = taken
            ended = statistics.median(volumes[-1] for volumes, _ in found)
            row[f"ratio to {rival}"] = round(ended / goal, 4)
    return row


def against(
    ours: Sequence[tuple[list[float], list[int]]], found: Sequence[tuple[list[float], list[int]]]
) -> dict[str, object]:
    """Return an ablation's hypervolume as a share of the whole driver's on the same seeds."""
    length = min(len(volumes) for volumes, _ in found)
    shares: dict[str, object] = {}
    for at in (20, length):
        whole = statistics.median(volumes[at - 1] for volumes, _ in ours[: len(found)])
        part = statistics.median(volumes[at - 1] for volumes, _ in found)
        shares[f"of ours at {at}"] = round(part / whole, 4)
    return shares


def first(volumes: Sequence[float], goal: float) -> int | None:
    """Return after how many trials a hypervolume is reached; None: never."""
    return next((n for n, volume in enumerate(volumes, 1) if volume >= goal), None)


def keep(path: Path, runs: Mapping[str, Mapping[int, list[Row]]]) -> None:
    """Write all trials of a task."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for driver, found in runs.items():
            for seed, trials in found.items():
                writer.writerows({"driver": driver, "seed": seed, **trial} for trial in trials)


if __name__ == "__main__":
    main()

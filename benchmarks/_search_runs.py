"""One run of one driver on one task: every trial's outcome, kept as a file.

The rivals are Optuna's own samplers driven the way Optuna's documentation drives them (ask and
tell); ours is a sweep as `autocompress search` runs it. All run the same worker function on the
same model, data, space and objectives.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from _search_tasks import SearchTask
from optuna.trial import TrialState

import autocompress as ac
from autocompress.analysis.hypervolume import hypervolume
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status
from autocompress.explore.sampling import derive_seed
from autocompress.explore.trial import Job, TrialContext, TrialResult, run_job
from autocompress.layers import find_layers
from autocompress.storage import atomic

METRICS = ("accuracy", "loss", "bytes", "flops")
RIVALS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}
Row = dict[str, Any]


def load_rows(path: Path) -> list[Row] | None:
    """Return a run's rows if it is complete."""
    return json.loads(path.read_text())["rows"] if path.is_file() else None


def run_rival(
    task: SearchTask, name: str, seed: int, trials: int, root: str, *, fixed_recipe: bool = False
) -> list[Row]:
    """Run one of Optuna's samplers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    model, data = task.load(root)
    context = TrialContext(model, data)
    space, layers = task.space(fixed_recipe=fixed_recipe), find_layers(model)
    objectives = task.resolved(model, data)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=RIVALS[name](seed))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(trials):
            began = time.perf_counter()
            trial = study.ask()
            candidate = space.sample(trial, layers)
            asked = time.perf_counter() - began
            path = Path(folder) / f"{number:04d}"
            path.mkdir()
            job = Job(
                number, candidate.to_dict(), derive_seed(seed, number, "trial"), str(path), METRICS
            )
            result = run_job(job, context)
            point = objectives.to_minimize(result.metrics) if result.metrics else None
            if result.status is Status.COMPLETE and point is not None:
                study.tell(trial, list(point))
            else:
                study.tell(trial, state=TrialState.PRUNED)
            rows.append(row_of(result, "sampler", asked, candidate.digest(model)))
    return rows


def run_sweep(
    task: SearchTask, settings: Mapping[str, Any], seed: int, trials: int, root: str
) -> list[Row]:
    """Run a sweep of ours, report excepted."""
    from autocompress.observer import Observer
    from autocompress.runs import RunFolder
    from autocompress.session import Session

    model, data = task.load(root)
    objectives = task.resolved(model, data)
    with tempfile.TemporaryDirectory() as folder:
        sweep = ac.Sweep(
            model=model,
            data=data,
            space=task.space(),
            objectives=objectives,
            trials=trials,
            seed=seed,
            jobs=0,
            device="cpu",
            **settings,
        )
        run = RunFolder(Path(folder) / "run")
        began = time.perf_counter()
        session = Session(sweep, run, Observer())
        session.load()
        with session.locked():
            session.load_reference()
            study = session.study()
            prepared = time.perf_counter() - began
            session.drive(study)
        records = [record for record in study.records() if record.status.finished]
        rows = []
        for record in records:
            steps = _epochs(run.trial(record.number))
            result = TrialResult(
                record.number, record.status, record.metrics, record.seconds, record.message, steps
            )
            rows.append(row_of(result, record.origin, 0.0, record.digest))
        rows[0]["prepared"] = prepared
        study.close()
    return rows


def row_of(result: TrialResult, origin: str, asked: float, digest: str) -> Row:
    """Return what is kept of a trial."""
    metrics = {name: result.metrics[name] for name in METRICS if name in result.metrics}
    return {
        "number": result.number,
        "status": result.status.value,
        "origin": origin,
        **metrics,
        "epochs": result.steps,
        "seconds": round(result.seconds, 3),
        "asked": round(asked, 4),
        "digest": digest,
    }


def save_rows(path: Path, rows: list[Row], **about: Any) -> None:
    """Keep a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, json.dumps({**about, "rows": rows}) + "\n")


def hypervolumes(rows: list[Row], objectives: Objectives) -> list[float]:
    """Return the hypervolume after each trial."""
    bound = objectives.reference_point()
    points: list[tuple[float, ...]] = []
    found: list[float] = []
    for row in rows:
        metrics = {name: row[name] for name in METRICS if name in row}
        point = objectives.to_minimize(metrics) if row["status"] == "complete" else None
        if point is not None:
            points.append(tuple(point))
        found.append(hypervolume(np.array(points).reshape(-1, len(bound)), bound))
    return found


def epochs_until(rows: list[Row]) -> list[int]:
    """Return the epochs of L steps that all trials up to each have taken."""
    return list(itertools.accumulate(row["epochs"] for row in rows))


def _epochs(folder: Path) -> int:
    history = folder / "history.csv"
    if not history.is_file():
        return 0
    lines = history.read_text().splitlines()
    column = lines[0].split(",").index("epochs")
    return sum(int(line.split(",")[column]) for line in lines[1:])

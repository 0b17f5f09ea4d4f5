"""A sweep from beginning to end: `search` and `resume`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from autocompress.analysis.saving import saved_text
from autocompress.config import Sweep
from autocompress.consent import Unnamed, own_code, within_reach
from autocompress.errors import RunError
from autocompress.executors.ray.settings import check_used
from autocompress.explore.record import TrialRecord
from autocompress.explore.study import Study
from autocompress.going_on import resume_command
from autocompress.observer import Observer
from autocompress.report.build import ReportPaths, build_report
from autocompress.runs import RunFolder, open_study
from autocompress.session import Session


def search(sweep: Sweep | None = None, *, observer: Observer | None = None) -> Study:
    """Search for the Pareto front of a model's compressions.

    Trains the reference if need be, runs the trials in worker processes, and writes a report. A
    run of the very same sweep in the same folder is continued; a finished one only gets a new
    report. No ``if __name__ == "__main__"`` is needed around it.

    Args:
        sweep: What to do; default ``Sweep()``, a small network on digits.
        observer: Who is told how it goes on; ``autocompress.display.observer(Console())`` shows it
            on a terminal. Nobody by default.

    Returns:
        The study: ``study.front()``, ``study.records()``, ``study.path``; with a target,
        ``study.found()``.

    Raises:
        ConfigError, SchemeError: a setting that cannot be used, or a space that does not fit.
        DataError, ModelError: data or model missing or unusable.
        RunError: ``sweep.out`` holds another sweep or other files, or is in use; or 20 trials in
            a row have failed. The report is there all the same.
        ExecutorError: trials cannot be run at all.
    """
    sweep = Sweep() if sweep is None else sweep
    observer = observer or Observer()
    run = RunFolder(sweep.out or default_folder(sweep))
    try:
        session = Session(sweep, run, observer)
        run.check_free()
        session.reach_storage()
        session.load()
        with session.locked():
            session.load_reference()
            study = session.study()
            session.drive(study)
            paths = _report(study, run, observer, session.test)
            observer.finished(study.front(), _notes(study, paths))
        if session.problem:
            study.close()
            raise RunError(
                f"{run.path}: {session.problem}; once that is mended, go on with: "
                f"{how_to_resume(run.path, sweep)}"
            )
        return study
    finally:
        observer.end()


def resume(
    path: str | os.PathLike[str],
    *,
    trials: int | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    repeats: int | None = None,
    executor: str | None = None,
    ray: Mapping[str, Any] | None = None,
    storage: str | None = None,
    data_root: str | None = None,
    allow: Iterable[str] = (),
    observer: Observer | None = None,
) -> Study:
    """Go on with a run after an interrupt, a crash or a reboot.

    Trials that were running continue from their last L-C step; nothing done is lost or repeated.
    The run may come from somebody else, so you have to name again what it would import (a model or
    a scheme given as ``module:name``) and where it would reach out to: the address of a Ray
    cluster, a storage, a database.

    Args:
        path: The run's folder.
        trials: Another number of trials in all; to extend a finished run, say.
        jobs: Another number of trials at a time.
        timeout: Another limit on a trial's seconds.
        repeats: Another number of seeds for the trials on and near the front.
        executor: Another place to run trials: ``"local"`` or ``"ray"``.
        ray: Other settings of the Ray cluster, such as ``{"address": "auto"}``.
        storage: URL of the database that the run's study is in.
        data_root: Where the data are now.
        allow: Code that the run names and that may be imported, as ``module:name``.
        observer: Who is told how it goes on.

    Raises:
        RunError: no run there, one begun from Python with a model or data of its own, or one that
            names code or places which you did not.
    """
    run = RunFolder.existing(path)
    values = run.describe()
    for key in ("model", "data", "metrics"):
        if values.get(key) is None or (key == "metrics" and values[key]):
            raise RunError(
                f"{run.path}: this sweep was begun from Python with {key} of its own, which a "
                f"file cannot hold: go on with ac.search(Sweep({key}=..., out={str(run.path)!r}))"
            )
    allow = tuple(allow)
    changes = {
        "trials": trials,
        "jobs": jobs,
        "timeout": timeout,
        "repeats": repeats,
        "executor": executor,
        "storage": storage,
        "data_root": data_root,
        **{f"ray.{key}": value for key, value in (ray or {}).items()},
    }
    asked = {key: value for key, value in changes.items() if value is not None}
    try:
        kept = within_reach(values, asked, run.sweep, allow)
        run.check_storage(values, storage)
        asked["out"] = str(run.path)
        sweep = Sweep.from_dict(kept, asked, where=str(run.sweep))
        check_used(sweep.executor, ray or (), fetches=True)
        return search(sweep, observer=observer)
    except Unnamed as error:
        command = resume_command(run.path, changes, allow, error.flags)
        raise Unnamed(error.run, error.found, error.flags, command) from None


def report(
    path: str | os.PathLike[str],
    *,
    storage: str | None = None,
    allow: Iterable[str] = (),
    observer: Observer | None = None,
) -> ReportPaths:
    """Write the report of a run again, from its study.

    Test accuracies that are not known yet are measured if the sweep's model and data have names,
    none of them of code that is not allowed.

    Args:
        path: The run's folder.
        storage: URL of the database that the run's study is in, if it is in one.
        allow: Code that the run names and that may be imported, as ``module:name``.
        observer: Who is told how it goes on.

    Raises:
        RunError: no run there, or nothing in it yet.
    """
    observer = observer or Observer()
    run = RunFolder.existing(path)
    values = run.describe()
    try:
        with open_study(run.path, storage) as study:
            missing = any(study.test(record.number) is None for record in study.front())
            test = None
            named = values.get("model") and values.get("data")
            if missing and run.reference.is_file() and named and _allowed(run, values, allow):
                observer.phase("loading data and reference")
                kept = within_reach(
                    {**values, "executor": "local"}, {"storage": storage}, run.sweep
                )
                session = Session(Sweep.from_dict(kept, where=str(run.sweep)), run, observer)
                session.load()
                session.load_reference()
                test = session.test
            return _report(study, run, observer, test)
    finally:
        observer.end()


def _allowed(run: RunFolder, values: Mapping[str, Any], allow: Iterable[str]) -> bool:
    return set(own_code(values, run.sweep)) <= set(allow)


def how_to_resume(run: Path, sweep: Sweep) -> str:
    """Return the command line that goes on with a sweep, with what has to be named again."""
    given: dict[str, Any] = {"storage": sweep.storage}
    if sweep.executor == "ray":
        address = sweep.ray.address
        given["ray.address"] = None if address == "auto" else address
        given["ray.storage_path"] = sweep.ray.storage_path or None
    return resume_command(run, given, own_code(sweep.to_dict(), run))


def default_folder(sweep: Sweep) -> Path:
    """Return a new folder's path for a run: ``runs/DATA-TIME``."""
    name = sweep.data if isinstance(sweep.data, str) else sweep.data.name
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _report(
    study: Study,
    run: RunFolder,
    observer: Observer,
    test: Callable[[TrialRecord], float] | None,
) -> ReportPaths:
    observer.phase("writing the report")
    return build_report(study, run.make_report(), test=test)


def _notes(study: Study, paths: ReportPaths) -> list[str]:
    notes = [f"problem: {problem}" for problem in paths.problems]
    found = study.found()
    if found is None:
        notes.append(f"hypervolume {study.front().hypervolume():.6g}")
    else:
        notes += found.reason.splitlines()
    if text := saved_text(study.records()):
        notes.append(text)
    notes.append(f"report: {paths.index}")
    return notes

"""One trial of a run again, alone: does it come out as recorded?"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocompress.config import Sweep
from autocompress.consent import check_code, within_reach
from autocompress.errors import RunError
from autocompress.executors import DoneEvent, StepEvent
from autocompress.explore.opening import versions
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.trial import Job, TrialResult, clean_up
from autocompress.lc import StepRecord
from autocompress.metrics import fingerprint
from autocompress.observer import Observer
from autocompress.runs import RunFolder, open_study
from autocompress.session import Session

TIMED = "latency"
"""Metrics whose names begin so are wall-clock times: shown, never compared."""

_ENDED = (Status.COMPLETE, Status.INFEASIBLE)


@dataclass(frozen=True)
class Row:
    """One number of a trial, as recorded and as it came out again.

    Attributes:
        name: The metric.
        recorded: Its value in the study; None if it has none.
        replayed: Its value now; None if it has none.
    """

    name: str
    recorded: float | None
    replayed: float | None

    @property
    def compared(self) -> bool:
        """Whether the two should be equal: times are not compared, nor what was never recorded."""
        return not self.name.startswith(TIMED) and self.recorded is not None

    @property
    def agrees(self) -> bool:
        """Whether they are equal, bit for bit, or not to be compared."""
        return not self.compared or _same(self.recorded, self.replayed)


@dataclass(frozen=True)
class Replay:
    """How a trial came out when it was run again.

    Attributes:
        record: The trial as the study has it.
        result: What it gave now.
        folder: Where its files are.
        rows: Its metrics, those recorded first.
        first_difference: The first L-C step whose loss, accuracy or bits differ; None if none does.
        surroundings: What is not as it was when the run was made: versions, hardware.
    """

    record: TrialRecord
    result: TrialResult
    folder: Path
    rows: tuple[Row, ...]
    first_difference: int | None = None
    surroundings: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether status, steps and metrics are as recorded, bit for bit; times do not count."""
        ours, theirs = self.record.status, self.result.status
        same = ours == theirs or (ours in _ENDED and theirs in _ENDED)  # limits are judged later
        return same and self.first_difference is None and all(row.agrees for row in self.rows)


def replay(
    path: str | os.PathLike[str],
    number: int,
    *,
    out: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    allow: Iterable[str] = (),
    observer: Observer | None = None,
) -> Replay:
    """Run one trial of a run again, alone, and compare it with its record.

    Candidate, seed and start are the study's; model, data and reference are the run's. It runs
    the way trials of the run do: in a worker process with as many threads, or in this process if
    the run has ``jobs: 0``. A pruned trial is stopped after the same step. The study is only read,
    and the run may go on meanwhile.

    Args:
        path: The run's folder.
        number: The trial.
        out: A new or empty folder for its files; ``replays/NUMBER-K`` in the run by default.
        storage: URL of the database that the run's study is in, if it is in one.
        allow: Code that the run names and that may be imported, as ``module:name``.
        observer: Who is told how it goes on.

    Raises:
        RunError: no run there, one begun from Python with a model or data of its own, or other data
            than the run's; no such trial, or one that was never run.
    """
    observer = observer or Observer()
    run = RunFolder.existing(path)
    values = _named(run)
    check_code(values, allow, run.sweep)
    with open_study(run.path, storage) as study:
        record = _trial(study.records(), number, run)
    jobs = min(1, int(values.get("jobs", 1)))
    changes = {"jobs": jobs, "executor": "local", "out": str(run.path)}
    values = within_reach(values, {**changes, "storage": storage}, run.sweep)
    session = Session(Sweep.from_dict(values, changes, where=str(run.sweep)), run, observer)
    try:
        session.load()
        _check_data(session, values, run)
        session.load_reference()
        folder = run.new_replay(number) if out is None else _new_folder(Path(out))
        observer.phase(f"replaying trial {number} in {folder}")
        result, steps = _run(session, _job(session, record, folder))
        clean_up(folder)
    finally:
        observer.end()
    names = dict.fromkeys((*record.metrics, *result.metrics))
    rows = (Row(name, record.metrics.get(name), result.metrics.get(name)) for name in names)
    return Replay(
        record,
        result,
        folder,
        tuple(rows),
        _first_difference(record, steps),
        _surroundings(values.get("resolved", {})),
    )


def _named(run: RunFolder) -> dict[str, Any]:
    """Return what the run's sweep says, if all of it can be put together again from names."""
    values = run.describe()
    for key in ("model", "data", "metrics"):
        if values.get(key) is None or (key == "metrics" and values[key]):
            raise RunError(
                f"{run.path}: this sweep was begun from Python with {key} of its own, which a "
                f"file cannot hold: its trials cannot be replayed"
            )
    if not run.reference.is_file():
        raise RunError(f"{run.reference}: the run's reference model is missing")
    return values


def _trial(records: list[TrialRecord], number: int, run: RunFolder) -> TrialRecord:
    """Return a trial that was run, or say why there is none."""
    if not 0 <= number < len(records):
        there = f"its trials are 0 to {len(records) - 1}" if records else "it has no trials yet"
        raise RunError(f"{run.path}: there is no trial {number}: {there}")
    record = records[number]
    if record.candidate is None:
        raise RunError(f"{run.path}: trial {number} has no candidate yet: it is {record.status}")
    if not record.status.finished:
        raise RunError(f"{run.path}: trial {number} has no result yet: it is {record.status}")
    if record.folder is None:
        raise RunError(f"{run.path}: trial {number} was never run: {record.message}")
    return record


def _check_data(session: Session, values: Mapping[str, Any], run: RunFolder) -> None:
    there = values["resolved"].get("data_digest")
    if there != session.resolved()["data_digest"]:
        raise RunError(
            f"{run.path}: was made with other data than {values['data']!r} is now "
            f"(digest {there}, now {session.resolved()['data_digest']})"
        )


def _new_folder(path: Path) -> Path:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path}: is no empty folder: choose another --out")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _job(session: Session, record: TrialRecord, folder: Path) -> Job:
    pruned = record.status is Status.PRUNED and record.course
    return Job(
        record.number,
        dict(record.candidate or {}),
        record.seed,
        str(folder.resolve()),
        session.metrics,
        warm=session.run.warm(record.start),
        until=len(record.course) - 1 if pruned else None,
    )


def _run(session: Session, job: Job) -> tuple[TrialResult, list[StepRecord]]:
    steps: list[StepRecord] = []
    with session.executor() as executor:
        executor.submit([job])
        while True:
            for event in executor.poll(0.25):
                if isinstance(event, StepEvent):
                    steps.append(event.record)
                elif isinstance(event, DoneEvent):
                    return event.result, steps


def _first_difference(record: TrialRecord, steps: Iterable[StepRecord]) -> int | None:
    """Compare validation and bits step by step; runs of older versions have kept no steps."""
    if not record.course:
        return None
    ours = [(step.val_accuracy, step.val_loss, step.bits) for step in steps]
    for number, pair in enumerate(zip(record.course, ours, strict=False)):
        if not all(_same(a, b) for a, b in zip(*pair, strict=True)):
            return number
    shorter, longer = sorted((len(record.course), len(ours)))
    return None if shorter == longer else shorter


def _surroundings(resolved: Mapping[str, Any]) -> tuple[str, ...]:
    """Return versions and hardware that differ from those the run was last written with."""
    told = []
    for group, here in (("versions", versions()), ("hardware", fingerprint())):
        there = resolved.get(group)
        if isinstance(there, Mapping):
            told += [
                f"{key} was {there[key]}, is {value}"
                for key, value in here.items()
                if key in there and there[key] != value
            ]
    return tuple(told)


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return ours == theirs or (math.isnan(ours) and math.isnan(theirs))

"""One trial, wherever it runs: compress, measure, leave its files."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from autocompress import yamlio
from autocompress.api import compress
from autocompress.compressed import Compressed
from autocompress.compression import Compression
from autocompress.data import Data
from autocompress.errors import AutocompressError, ExecutorError, PackedFileError
from autocompress.explore.record import Status
from autocompress.lc import StepRecord, Warm
from autocompress.metrics import (
    METRICS,
    LatencySettings,
    Measurement,
    Metric,
    fingerprint,
    measure,
)
from autocompress.recipe import Candidate
from autocompress.storage import atomic
from autocompress.storage import warm as warmth

CANDIDATE = "candidate.yaml"
HISTORY = "history.csv"
MODEL = "model.safetensors"
LOG = "log.txt"
STATE = "state.safetensors"
WARM = "warm.safetensors"
STOP = "stop"
ON_VALIDATION = ("accuracy", "error", "loss")
"""Metrics that every step is validated by anyway."""

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

_NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

OnStep = Callable[[StepRecord], object]


@dataclass(frozen=True)
class Job:
    """What a worker is told of a trial; plain values only.

    Attributes:
        number: The trial's number.
        candidate: The candidate's JSON form.
        seed: Seed of everything random in the trial.
        folder: The trial's folder; it exists.
        metrics: Names of the metrics to measure.
        warm: File of the finished trial to start from, if any; see :mod:`autocompress.lc.warm`.
        keep: Whether to leave such a file for other trials.
        label: What its log calls it; ``trial NUMBER`` by default.
        until: The L-C step after which it is to end, as ``pruned``; None for the last one.
    """

    number: int
    candidate: dict[str, Any]
    seed: int
    folder: str
    metrics: tuple[str, ...]
    warm: str | None = None
    keep: bool = False
    label: str = ""
    until: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; ``Job(**...)`` reads it back."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


@dataclass(frozen=True, eq=False)
class TrialContext:
    """What all trials of a sweep share; sent to a worker once.

    Attributes:
        model: The reference model, on the device of ``data``.
        data: The data.
        latency: How latency is measured.
        metrics: Metrics of the user's own, besides the built-in ones.
        schemes: Schemes of other packages that candidates may name: those of the search space.
    """

    model: nn.Module
    data: Data
    latency: LatencySettings = field(default_factory=LatencySettings)
    metrics: tuple[Metric, ...] = ()
    schemes: tuple[type[Compression], ...] = ()

    def measure(self, names: Iterable[str], compressed: Compressed) -> dict[str, float]:
        """Measure a compressed model by metrics' names, built-in or the user's own."""
        own = {metric.name: metric for metric in self.metrics}
        measurement = Measurement(compressed, self.model, self.data, self.latency)
        return measure([own.get(name, name) for name in names], measurement)


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Attributes:
        number: The trial's number.
        status: ``complete``, ``pruned`` (stopped on request) or one of the failures.
        metrics: The metrics asked for; the cheap ones if pruned, none after a failure.
        seconds: Wall time, of earlier sessions too if the trial was continued.
        message: Why it failed, or what was not as planned; one line.
        steps: L-C steps done, direct compression not counted.
        hardware: The machine that it was measured on; see
            :func:`autocompress.metrics.hardware.fingerprint`.
    """

    number: int
    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""
    steps: int = 0
    hardware: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**dataclasses.asdict(self), "status": self.status.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the JSON form back."""
        return cls(**{**values, "status": Status(values["status"])})


RunJob = Callable[[Job, TrialContext, OnStep], TrialResult]
"""What a worker does with a job: :func:`run_job`, or a stand-in in tests and benchmarks."""


def cheap(metrics: Iterable[str]) -> list[str]:
    """Return those metrics that are measured of a stopped trial, too: none that takes long."""
    return [n for n in metrics if n in METRICS and (METRICS[n].free or n in ON_VALIDATION)]


def request_stop(folder: Path) -> None:
    """Ask the trial in a folder to end after its current step, as ``pruned``."""
    (folder / STOP).touch()


def clean_up(folder: Path) -> None:
    """Remove what only a running trial needs; for after its result has been recorded.

    The state goes last: while it is there, :func:`tidy` knows that something may be left.
    """
    atomic.remove_unfinished(folder)
    for name in (STOP, STATE):
        (folder / name).unlink(missing_ok=True)


def tidy(folders: Iterable[Path]) -> None:
    """Clean up after trials whose driver was killed right after it had recorded them.

    Args:
        folders: Of trials whose results have been recorded.
    """
    for folder in folders:
        if (folder / STATE).exists():
            clean_up(folder)


def run_job(job: Job, context: TrialContext, on_step: OnStep | None = None) -> TrialResult:
    """Run one trial; whatever goes wrong in it is a status.

    Leaves ``candidate.yaml``, ``history.csv``, ``model.safetensors`` and ``log.txt`` in the job's
    folder, and ``warm.safetensors`` if it is to be kept. The L-C state is kept there after every
    step, and a trial that was interrupted continues from it, bit for bit; :func:`clean_up` removes
    it. Where the file to start from is missing or damaged, the trial starts cold and says so in its
    message.

    Args:
        job: The trial.
        context: Model, data and settings shared by all trials.
        on_step: Called with every step record, first with those of earlier sessions.

    Raises:
        ExecutorError: the folder cannot be written (a full disk, say). That is no failure of this
            trial, and would be one of all others: the sweep ends, and goes on from here later.
    """
    try:
        return _Trial(job, context, on_step).run()
    except OSError as error:
        raise unwritable(job, error) from error


def unwritable(job: Job, error: OSError) -> ExecutorError:
    """Return the error that ends a sweep whose trials cannot write their files."""
    return ExecutorError(
        f"{job.folder}: cannot be written: {error.strerror or error}; make room there, and the "
        f"sweep goes on from here with 'autocompress resume'"
    )


class _Trial:
    """A trial while it runs."""

    def __init__(self, job: Job, context: TrialContext, on_step: OnStep | None) -> None:
        self.job = job
        self.context = context
        self.on_step = on_step
        self.folder = Path(job.folder)
        self.began = time.perf_counter()
        self.steps: list[StepRecord] = []
        self.seconds_before = 0.0
        self.remark = ""

    def run(self) -> TrialResult:
        """Compress and measure, turning exceptions into statuses."""
        try:
            label = self.job.label or f"trial {self.job.number}"
            self.log(f"{label} begins, seed {self.job.seed}")
            return self.finish(self.compress())
        except Exception as error:
            if _no_place(error, self.folder):
                raise
            self.log(traceback.format_exc().rstrip())
            status, message = _failure(error)
            if status is Status.OUT_OF_MEMORY and torch.cuda.is_available():
                torch.cuda.empty_cache()
            return self.result(status, message)

    def compress(self) -> Compressed:
        """Run the L-C loop, from the state an interrupted session left if there is one."""
        candidate = Candidate.from_dict(self.job.candidate)
        atomic.write_text(self.folder / CANDIDATE, yamlio.dumps(self.job.candidate))
        state = self.folder / STATE
        warm = self.warm()

        def run() -> Compressed:
            return compress(
                self.context.model,
                candidate.plan,
                candidate.recipe,
                self.context.data,
                on_step=self.step,
                seed=self.job.seed,
                checkpoint=state,
                retell=self.retold,
                warm=warm,
            )

        if not state.exists():
            return run()
        try:
            return run()
        except PackedFileError as error:
            self.log(f"begins again from the start: {error}")
            state.unlink()
            return run()

    def warm(self) -> Warm | None:
        """Return where to start; None for the reference, also where the file cannot be used."""
        if self.job.warm is None:
            return None
        try:
            found = warmth.load(Path(self.job.warm), self.context.model)
        except PackedFileError as error:
            self.remark = f"cold start: {error}"
            self.log(self.remark)
            return None
        self.log(f"starts from {self.job.warm}")
        return found

    def step(self, record: StepRecord) -> bool:
        """Report a step; True ends the trial there."""
        self.steps.append(record)
        self.log(str(record))
        return self.told(record)

    def retold(self, record: StepRecord) -> bool:
        """Report a step of an earlier session again: what followed from it may be lost."""
        self.seconds_before += record.seconds
        return self.told(record)

    def told(self, record: StepRecord) -> bool:
        """Tell of a step; return whether the trial shall end there."""
        if self.on_step is not None:
            self.on_step(record)
        until = self.job.until
        return (until is not None and record.step >= until) or (self.folder / STOP).exists()

    def finish(self, compressed: Compressed) -> TrialResult:
        """Write the trial's files, and measure it if it came to its end."""
        self.steps = compressed.history
        _write_history(self.folder / HISTORY, compressed.history)
        compressed.save(self.folder / MODEL)
        if compressed.status == "diverged":
            step = self.steps[-1].step + 1
            return self.result(
                Status.DIVERGED, f"loss or weights became NaN or infinite in L-C step {step}"
            )
        if compressed.status == "stopped":
            step = self.steps[-1].step
            where = f"L-C step {step}" if step else "direct compression"
            message = f"stopped after {where}"
            metrics = self.context.measure(cheap(self.job.metrics), compressed)
            return self.result(Status.PRUNED, message, metrics)
        metrics = self.context.measure(self.job.metrics, compressed)
        if self.job.keep:
            warmth.keep(self.folder / STATE, self.folder / WARM)
        return self.result(Status.COMPLETE, metrics=metrics)

    def result(
        self, status: Status, message: str = "", metrics: dict[str, float] | None = None
    ) -> TrialResult:
        """Build the result and log it."""
        message = "; ".join(part for part in (message, self.remark) if part)
        seconds = time.perf_counter() - self.began + self.seconds_before
        steps = self.steps[-1].step if self.steps else 0
        numbers = "".join(f"  {name} {value:g}" for name, value in (metrics or {}).items())
        self.log(f"{status.value} after {seconds:.1f} s{': ' * bool(message)}{message}{numbers}")
        hardware = fingerprint(self.context.data.device)
        return TrialResult(
            self.job.number, status, metrics or {}, seconds, message, steps, hardware
        )

    def log(self, text: str) -> None:
        """Append a line to the trial's log."""
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def _write_history(path: Path, history: Sequence[StepRecord]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(StepRecord))
    writer.writerows(dataclasses.astuple(record) for record in history)
    atomic.write_text(path, table.getvalue())


def _no_place(error: Exception, folder: Path) -> bool:
    """Whether an error is that a trial's folder cannot be written."""
    if not isinstance(error, OSError):
        return False
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename is not None:
        return Path(str(error.filename)).parent == folder
    return error.errno in _NO_PLACE


def _failure(error: Exception) -> tuple[Status, str]:
    """Return the status and the one-line message of an exception."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _NO_MEMORY)
    )
    name = "" if isinstance(error, AutocompressError) else type(error).__name__
    message = ": ".join(part for part in (name, text) if part)[:300]
    return (Status.OUT_OF_MEMORY if out_of_memory else Status.CRASHED), message

"""What a study remembers of one trial."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from autocompress.errors import RunError, unknown


class Status(enum.StrEnum):
    """How a trial stands, or how it ended.

    Only a ``COMPLETE`` trial can be on a front. A ``PRUNED`` one was stopped early on purpose; an
    ``INFEASIBLE`` one breaks a hard limit, whether or not it was trained; the other four are
    failures of this trial, never of the sweep.
    """

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"

    @property
    def finished(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self not in (Status.WAITING, Status.RUNNING)

    @property
    def failed(self) -> bool:
        """Whether the trial ended without any result through no choice of the sweep."""
        return self in (Status.DIVERGED, Status.OUT_OF_MEMORY, Status.TIMEOUT, Status.CRASHED)


ORIGINS = (
    "dense",
    "uniform",
    "knapsack",
    "rank-selection",
    "given",
    "sampler",
    "local",
    "guided",
    "target",
)
"""Who may propose a trial: those told in advance, the sampler, and what stands in for it."""

SAME = "the same as"
"""How the message of a trial begins that was answered by another."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: Its number in the study, from 0.
        status: How it stands or ended.
        candidate: The candidate's JSON form; None only while waiting.
        metrics: Metric values by name; empty or partial unless the trial is complete. A value may
            be NaN (it could not be measured).
        seed: Seed of everything random in the trial.
        seconds: Wall time the trial took, in seconds.
        digest: The candidate's digest modulo symmetry.
        message: Why it failed or was refused, one line; empty otherwise.
        origin: Who proposed it, one of :data:`ORIGINS`.
        params: The search space parameters that give the candidate, by name.
        folder: Where the trial's files are, relative to the run; None when it left none.
        start: The finished trial it was started from; None for the reference.
        epochs: Epochs of its L steps, all together.
        course: Validation accuracy, validation loss and bits of all codes after direct compression
            and after each L-C step: what other trials are compared with while they run.
        hardware: The machine it was measured on, see
            :func:`autocompress.metrics.hardware.fingerprint`; empty where that is not known.
    """

    number: int
    status: Status
    candidate: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    digest: str = ""
    message: str = ""
    origin: str = "sampler"
    params: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    start: int | None = None
    epochs: int = 0
    course: tuple[tuple[float, float, int], ...] = ()
    hardware: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in list(Status):
            raise unknown("trial status", self.status, list(Status))
        if self.origin not in ORIGINS:
            raise unknown("trial origin", self.origin, ORIGINS)
        object.__setattr__(self, "status", Status(self.status))

    @property
    def refused(self) -> bool:
        """Whether a hard limit refused it before any training."""
        return (
            self.status is Status.INFEASIBLE
            and self.folder is None
            and not self.message.startswith(SAME)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form. A metric that is not finite becomes null: JSON has no NaN."""
        result = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        result["status"] = self.status.value
        result["metrics"] = {
            name: value if math.isfinite(value) else None for name, value in self.metrics.items()
        }
        result["course"] = [
            [value if math.isfinite(value) else None for value in step] for step in self.course
        ]
        return result

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a record from its JSON form; keys a newer version may have added are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["status"] = Status(values["status"])
        folder = values.get("folder")
        if folder is not None and not _inside(folder):
            raise RunError(
                f"trial {values.get('number')}: its folder {folder!r} is not a path inside the "
                f"run's: autocompress did not write this study"
            )
        values["metrics"] = {
            name: _number(value) for name, value in values.get("metrics", {}).items()
        }
        values["course"] = tuple(
            (_number(accuracy), _number(loss), int(bits))
            for accuracy, loss, bits in values.get("course", ())
        )
        return cls(**values)


def _inside(folder: object) -> bool:
    """Whether a path stays below the folder it is relative to, on any system."""
    if not isinstance(folder, str) or set(folder) & {"\\", ":", "\0"}:
        return False
    path = PurePosixPath(folder)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

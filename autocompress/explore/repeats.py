"""Repeats: a finished trial run again under another seed. They are no trials of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from autocompress.explore.record import Status

KEY = "repeat:"


@dataclass(frozen=True)
class Repeat:
    """How a trial came out under another seed.

    Attributes:
        trial: The trial's number.
        index: Which repeat, from 1; the trial itself is 0.
        seed: Its seed.
        status: How it ended.
        metrics: Metric values by name; empty or partial unless it is complete.
        seconds: Wall time, in seconds.
        message: Why it failed, one line; empty otherwise.
        folder: Where its files are, relative to the run.
    """

    trial: int
    index: int
    seed: int
    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""
    folder: str = ""

    @property
    def key(self) -> str:
        """What it is called in the study."""
        return f"{KEY}{self.trial}:{self.index}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form. A metric that is not finite becomes null: JSON has no NaN."""
        metrics = {k: v if math.isfinite(v) else None for k, v in self.metrics.items()}
        return {**dataclasses.asdict(self), "status": self.status.value, "metrics": metrics}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a repeat from its JSON form; keys a newer version may have added are ignored."""
        values = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        values["status"] = Status(values["status"])
        values["metrics"] = {
            name: math.nan if value is None else float(value)
            for name, value in values.get("metrics", {}).items()
        }
        return cls(**values)


def by_trial(stored: Iterable[Mapping[str, Any]]) -> dict[int, tuple[Repeat, ...]]:
    """Return repeats from their JSON forms, by trial number and in order."""
    found: dict[int, list[Repeat]] = {}
    for repeat in sorted(map(Repeat.from_dict, stored), key=lambda r: (r.trial, r.index)):
        found.setdefault(repeat.trial, []).append(repeat)
    return {trial: tuple(repeats) for trial, repeats in found.items()}

"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from autocompress.analysis.onesided import Found
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import TrialRecord
from autocompress.explore.repeats import Repeat


class StudyLike(Protocol):
    """What a report reads of a study."""

    def records(self) -> list[TrialRecord]:
        """Return all trials."""
        ...

    @property
    def objectives(self) -> Objectives:
        """What is optimized, resolved."""
        ...

    @property
    def reference(self) -> Mapping[str, float]:
        """Metrics of the uncompressed model."""
        ...

    @property
    def path(self) -> Path:
        """The run's folder, which trials' folders are relative to."""
        ...

    def test(self, number: int) -> float | None:
        """Return a trial's accuracy on the test split, a fraction; None if never measured."""
        ...

    def set_test(self, number: int, value: float) -> None:
        """Keep a trial's accuracy on the test split."""
        ...

    def found(self) -> Found | None:
        """What a search for a target has found; None for a search of the front."""
        ...

    def repeats(self) -> Mapping[int, Sequence[Repeat]]:
        """Return runs of trials under other seeds, by trial number."""
        ...

    def note(self, key: str) -> Any:
        """Return what was remembered under a key, or None."""
        ...

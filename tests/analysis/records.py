"""Records for the tests of analysis and report."""

from __future__ import annotations

from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord

ACCURACY_SIZE = Objectives(
    "accuracy-size",
    (
        Objective("accuracy", "maximize", worst=0.1),
        Objective("bytes", "minimize", "log", worst=1e6),
    ),
)


def record(number: int, accuracy: float = 0.9, size: float = 1e4, **more: object) -> TrialRecord:
    """Return a complete record with two metrics; keywords replace any field."""
    values = {"status": Status.COMPLETE, "metrics": {"accuracy": accuracy, "bytes": size}}
    return TrialRecord(number, **(values | more))

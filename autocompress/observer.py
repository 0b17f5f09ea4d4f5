"""What a sweep tells while it runs, and to whom."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

import numpy as np

from autocompress.analysis import Front
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.lc import StepRecord

FREE_IN_A_ROW = 50
"""How many trials that cost nothing may follow one another before they count like others."""

FAILED_IN_A_ROW = 20
"""How many trials may fail one after another before a sweep gives up."""


@dataclass
class Tally:
    """How a sweep stands: updated by the driver, read by observers.

    A trial that was answered without running (a duplicate of another, or one that breaks a hard
    limit before any training) costs nothing and does not count towards the trials asked for, so
    that a tight limit does not eat the budget. A sampler that proposes nothing else would go on
    for ever: from the 51st in a row on they count. A trial that failed gave nothing, and does not
    count either; but 20 failures in a row mean that something is wrong with all of them.

    Attributes:
        objectives: What is optimized, resolved.
        total: Trials asked for.
        before: Trials of earlier sessions, ended.
        records: All trials that have ended, in the order they did.
        spent: How many of them count towards ``total``.
        failures: The trials that failed since the last one that did not, in this session.
        front: Their Pareto front, which does not know of the trials that left it.
        hypervolume: Its hypervolume.
    """

    objectives: Objectives
    total: int
    before: InitVar[Sequence[TrialRecord]] = ()
    records: list[TrialRecord] = field(default_factory=list)
    spent: int = 0
    failures: list[TrialRecord] = field(default_factory=list)
    front: Front = field(init=False)
    hypervolume: float = 0.0

    def __post_init__(self, before: Sequence[TrialRecord]) -> None:
        self._free = 0
        for record in sorted(before, key=lambda record: record.number):
            self._count(record)
        self.failures.clear()  # what was wrong may be mended by now
        self._spent_before = self.spent
        self._began = time.monotonic()
        self._update(self.records)

    def add(self, record: TrialRecord) -> None:
        """Count a trial that has ended."""
        self._count(record)
        if record.status is Status.COMPLETE and not self._beaten(record):
            self._update([*self.front, record])  # what was dominated stays so

    def _count(self, record: TrialRecord) -> None:
        self.records.append(record)
        self._free = self._free + 1 if record.folder is None else 0
        if record.status.failed and record.folder is not None:
            self.failures.append(record)
        elif record.folder is not None or self._free > FREE_IN_A_ROW:
            self.spent += 1
            self.failures.clear()

    @property
    def hopeless(self) -> bool:
        """Whether so many trials in a row have failed that the next one will, too."""
        return len(self.failures) >= FAILED_IN_A_ROW

    @property
    def why_hopeless(self) -> str:
        """What the failures in a row were, and the last one's message; empty if not hopeless."""
        if not self.hopeless:
            return ""
        last = self.failures[-1]
        kinds = Counter(record.status.value for record in self.failures).most_common()
        told = ", ".join(f"{count} {kind}" for kind, count in kinds)
        return (
            f"gave up after {len(self.failures)} failures in a row ({told}); the last, trial "
            f"{last.number}: {last.message or last.status.value}; its log: {last.folder}/log.txt"
        )

    def _beaten(self, record: TrialRecord) -> bool:
        """Whether the front has what is nowhere worse: then it stays as it is."""
        point = self.objectives.to_minimize(record.metrics)
        return point is None or bool((self._points <= np.asarray(point)).all(axis=1).any())

    def _update(self, records: Sequence[TrialRecord]) -> None:
        self.front = Front.from_records(records, self.objectives)
        self._points = self.front.points()
        self.hypervolume = self.front.hypervolume()

    @property
    def elapsed(self) -> float:
        """Seconds since this session's trials began."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Seconds the rest will take at the pace of this session; None before its first trial."""
        here = self.spent - self._spent_before
        return self.elapsed / here * max(0, self.total - self.spent) if here else None

    def counts(self) -> dict[str, int]:
        """Return how many trials are complete, pruned, infeasible, failed, and duplicates."""
        names = ("complete", "pruned", "infeasible", "failed", "duplicate")
        found = Counter(_kind(record) for record in self.records)
        return {name: found[name] for name in names}

    def best(self) -> list[tuple[str, TrialRecord]]:
        """Return each objective's name with the front's best trial in it."""
        if not len(self.front):
            return []
        return [
            (item.metric, min(self.front, key=lambda r: item.coordinate(r.metrics[item.metric])))
            for item in self.objectives.items
        ]


def _kind(record: TrialRecord) -> str:
    if record.status.failed:
        return "failed"
    if record.folder is None and record.status is Status.COMPLETE:
        return "duplicate"
    return record.status.value


class Observer:
    """Is told how a sweep goes on; this one keeps it to itself. Override what interests you."""

    def phase(self, text: str) -> None:
        """Something that takes a while begins: data, the reference, the workers, the report."""

    def training(self, epoch: int, epochs: int, accuracy: float) -> None:
        """The reference has been trained for one more epoch; ``accuracy`` is a fraction."""

    def begin(self, title: str, folder: Path, tally: Tally) -> None:
        """The trials begin; the tally is kept up to date."""

    def started(self, number: int, steps: int, plan: str) -> None:
        """A trial was handed to a worker; it will do so many L-C steps."""

    def step(self, number: int, record: StepRecord) -> None:
        """A trial has done a step."""

    def ended(self, record: TrialRecord) -> None:
        """A trial has ended; the tally knows it already."""

    def end(self) -> None:
        """The sweep is over or interrupted; called once, whatever happened."""

    def finished(self, front: Front, notes: Sequence[str]) -> None:
        """The sweep is complete, its report written.

        Args:
            front: The Pareto front.
            notes: Lines for the user: where the report is, what was left out.
        """

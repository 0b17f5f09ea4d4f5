"""What a sweep needs of a place to run trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from autocompress.explore.trial import Job, TrialResult
from autocompress.lc import StepRecord


@dataclass(frozen=True)
class StepEvent:
    """A trial has finished an L-C step.

    One that goes on after an interrupt first tells the steps of earlier sessions again.

    Attributes:
        number: The trial's number.
        record: What the step did.
    """

    number: int
    record: StepRecord


@dataclass(frozen=True)
class DoneEvent:
    """A trial has ended, in whatever way.

    Attributes:
        result: Its result; a failure is a status, never an exception.
    """

    result: TrialResult


Event = StepEvent | DoneEvent


class Executor(Protocol):
    """Takes batches of jobs, streams back step reports and results, can stop a job after a step.

    Every job submitted ends in exactly one :class:`DoneEvent`, and none of its step events comes
    after it. :class:`autocompress.testing.executors.ExecutorContract` checks an implementation.
    """

    @property
    def capacity(self) -> int:
        """How many more batches would start at once; 0 when all workers are busy."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand over a batch of jobs for one worker.

        A driver submits while there is capacity; a batch beyond it waits its turn. The jobs'
        folders exist.
        """

    def poll(self, timeout: float) -> list[Event]:
        """Return what happened since the last call.

        Args:
            timeout: Seconds to wait for a first event; 0 only looks.

        Raises:
            ExecutorError: trials cannot be run at all.
        """

    def stop(self, number: int) -> None:
        """Ask a job to end after its current step, as ``pruned``; unknown numbers are ignored."""

    def close(self) -> None:
        """End all workers at once; jobs that still run are abandoned without an event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Closing(ABC):
    """A context manager that is closed in the end: what executors are."""

    @abstractmethod
    def close(self) -> None:
        """End all workers at once; jobs that still run are abandoned without an event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""A place for one worker process."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from time import monotonic
from typing import Any

from pebble import ProcessExpired, ProcessPool

from autocompress.errors import ExecutorError
from autocompress.executors import worker
from autocompress.executors.spawn import WorkerContext
from autocompress.explore.trial import Job

_GRACE = 3.0
"""Seconds to wait for the other sign that a worker is gone: its pool's word, its line's end.

A pool notices a dead worker within a tenth of a second, except one that ended with exit code 0; a
line ends with its worker, except where a child of the worker holds it.
"""
_HUSH = 0.5
"""Seconds to wait for the first word about a batch whose worker is dead and has not said any."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Jobs handed to a worker together.

    Attributes:
        ticket: A number that no other batch has; every message about the batch carries it, so that
            words about jobs which meanwhile were handed to another worker can be told from its own.
        jobs: The jobs.
    """

    ticket: int
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Ended:
    """The end of a batch, and what went wrong if anything; the results came over the line."""

    slot: Slot
    batch: Batch
    error: BaseException | None


class Slot:
    """Runs one batch at a time in a process that stays for the next one.

    It is a pool of its own, with a single worker: workers of one pool share locks, and a worker
    killed while it holds one would stop all others for ever.

    Two threads tell of a worker, in no particular order: its pool when a batch has ended, its line
    what was said about it and when the line ended. :meth:`over` puts the two together.

    Args:
        arguments: What the worker's initializer is given.
        threads: Threads of the numerical libraries in the worker.
        timeout: Seconds a job may take; None for no limit. Measured here, since pools go by the
            time of day, which somebody may set.
        say: Called with every :class:`Ended`, from other threads.

    Attributes:
        batch: What it is running; None when it is free.
    """

    def __init__(
        self,
        arguments: tuple[Any, ...],
        threads: int,
        timeout: float | None,
        say: Callable[[Ended], object],
    ) -> None:
        self.batch: Batch | None = None
        self._arguments = arguments
        self._threads = threads
        self._timeout = timeout
        self._say = say
        self._pool = self._new_pool()
        self._forget()

    def _forget(self) -> None:
        self._line: int | None = None  # where the batch is told of
        self._cut: float | None = None  # when that line ended
        self._end: Ended | None = None  # what the pool says, and since when
        self._end_since = 0.0
        self._deadline = math.inf  # of the job that it is at

    def start(self, batch: Batch) -> None:
        """Run a batch."""
        self._forget()
        self.batch = batch
        arguments = ([job.to_dict() for job in batch.jobs], batch.ticket)
        try:
            future = self._pool.schedule(worker.run_batch, args=arguments)
        except RuntimeError:  # the pool gave up when its idle worker died
            self.renew()
            future = self._pool.schedule(worker.run_batch, args=arguments)
        future.add_done_callback(lambda done: self._say(Ended(self, batch, done.exception())))

    def spoke(self, line: int, *, begins: bool) -> None:
        """Note that the batch was told of over a line; a job of it may begin with that."""
        self._line = line
        if begins and self._timeout is not None:
            self._deadline = monotonic() + self._timeout

    def line_ended(self, line: int) -> None:
        """Note that a line has ended: if it is this batch's, all has been heard about the batch."""
        if self.batch is not None and line == self._line:
            self._cut = monotonic()

    def pool_ended(self, ended: Ended) -> None:
        """Note what the pool says, unless it is of a batch given up before."""
        if ended.batch is self.batch:
            self._end, self._end_since = ended, monotonic()

    def over(self, left: bool) -> Ended | None:
        """Return the batch's end once nothing more is to be heard about it; None until then.

        Args:
            left: Whether jobs of it have no result yet.
        """
        if self.batch is None:
            return None
        if self._end is None:
            return self._silent_end(left)
        if not left or isinstance(self._end.error, ExecutorError):
            return self._end
        if self._end.error is None:  # the last result is on its way, or lost with the line
            return None if self._cut is None else self._gone()
        patience = _HUSH if self._line is None else _GRACE
        settled = self._cut is not None or monotonic() - self._end_since > patience
        return self._end if settled else None

    def _silent_end(self, left: bool) -> Ended | None:
        """Return the end of a batch of which the pool knows no end."""
        assert self.batch is not None
        now = monotonic()
        if self._cut is not None:
            return self._gone() if now - self._cut > _GRACE else None
        late = left and now > self._deadline
        return Ended(self, self.batch, TimeoutError()) if late else None

    def _gone(self) -> Ended:
        assert self.batch is not None
        error = ProcessExpired("ended", code=0)  # type: ignore[no-untyped-call]
        return Ended(self, self.batch, error)

    def renew(self) -> None:
        """Start over with a new process."""
        self.close()
        self._pool = self._new_pool()

    def close(self) -> None:
        """End the worker, whatever it is doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=worker.initialize,
            initargs=self._arguments,
            context=WorkerContext(self._threads),
        )


def killed(error: BaseException) -> bool:
    """Whether a worker was killed from outside, rather than by what it did, or may have been.

    A pool does not say how a worker ended that died while it took a batch.
    """
    if isinstance(error, ProcessExpired):
        return bool(error.exitcode == -signal.SIGKILL)
    return isinstance(error, BrokenProcessPool)


def why(error: BaseException) -> str:
    """Return what became of a worker, in a few words."""
    if isinstance(error, ProcessExpired):
        if error.exitcode >= 0:
            return f"its worker process ended with exit code {error.exitcode}"
        name = _signal(-error.exitcode)
        hint = " (by the system, if memory ran out)" if name == "SIGKILL" else ""
        return f"its worker process was killed by {name}{hint}"
    if isinstance(error, BrokenProcessPool):
        return "its worker process died"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def close_all(slots: Sequence[Slot]) -> None:
    """End all workers at the same time: one deep in a computation may take seconds."""
    with ThreadPoolExecutor(max_workers=max(1, len(slots))) as closing:
        list(closing.map(Slot.close, slots))

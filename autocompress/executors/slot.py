"""A place for one worker process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from pebble import ProcessExpired, ProcessPool

from autocompress.executors import worker
from autocompress.executors.spawn import WorkerContext
from autocompress.explore.trial import Job

_GRACE = 3.0
"""Seconds between the end of a worker's line and giving up its batch, if nobody says why it ended.

A pool notices a dead worker within a tenth of a second, except one that ended with exit code 0.
"""


@dataclass(frozen=True, eq=False)
class Batch:
    """Jobs handed to a worker together."""

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

    Args:
        arguments: What the worker's initializer is given.
        threads: Threads of the numerical libraries in the worker.
        say: Called with every :class:`Ended`, from other threads.

    Attributes:
        batch: What it is running; None when it is free.
    """

    def __init__(
        self, arguments: tuple[Any, ...], threads: int, say: Callable[[Ended], object]
    ) -> None:
        self.batch: Batch | None = None
        self._arguments = arguments
        self._threads = threads
        self._say = say
        self._pool = self._new_pool()
        self._gone: float | None = None

    def start(self, batch: Batch, timeout: float | None) -> None:
        """Run a batch; it may take so many seconds, None for no limit."""
        self.batch, self._gone = batch, None
        jobs = [job.to_dict() for job in batch.jobs]
        try:
            future = self._pool.schedule(worker.run_batch, args=(jobs,), timeout=timeout)
        except RuntimeError:  # the pool gave up when its idle worker died
            self.renew()
            future = self._pool.schedule(worker.run_batch, args=(jobs,), timeout=timeout)
        future.add_done_callback(lambda done: self._say(Ended(self, batch, done.exception())))

    def renew(self) -> None:
        """Start over with a new process."""
        self.close()
        self._pool = self._new_pool()

    def line_ended(self) -> None:
        """Note that the worker's line was cut: it is dying, or dead."""
        self._gone = time.monotonic()

    def check(self) -> None:
        """Give up the batch of a worker that is gone without its pool noticing."""
        if self.batch and self._gone and time.monotonic() - self._gone > _GRACE:
            self._gone = None
            error = ProcessExpired("ended", code=0)  # type: ignore[no-untyped-call]
            self._say(Ended(self, self.batch, error))

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
    """Whether a worker was killed from outside, rather than by what it did."""
    return isinstance(error, ProcessExpired) and error.exitcode == -signal.SIGKILL


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

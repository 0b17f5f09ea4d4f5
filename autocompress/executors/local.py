"""Trials in persistent worker processes on this machine."""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from autocompress.errors import ExecutorError
from autocompress.executors import worker
from autocompress.executors.base import DoneEvent, Event, StepEvent
from autocompress.executors.lines import Lines, Message
from autocompress.executors.shipping import pack
from autocompress.executors.spawn import WorkerContext
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, request_stop, run_job
from autocompress.lc import StepRecord

_MOST_STARTS = 2
"""How often a job is handed to a worker that dies before it begins it."""


class LocalExecutor:
    """Worker processes that load the context once and then run job after job.

    A worker that dies takes down the job it was running, recorded as crashed, and nothing else: a
    new worker takes its place. Steps and results come over a line of each worker's own, because a
    lock shared between workers would stay locked for ever if its holder were killed.

    Args:
        context: What all jobs share.
        workers: Number of processes.
        threads: Threads of the numerical libraries in each.
        timeout: Seconds a job may take; None for no limit.
        run: What to do with a job; for tests.

    Raises:
        ExecutorError: the context cannot be sent to another process.
    """

    def __init__(
        self,
        context: TrialContext,
        *,
        workers: int = 2,
        threads: int = 1,
        timeout: float | None = None,
        run: RunJob = run_job,
    ) -> None:
        self._workers = workers
        self._timeout = timeout
        self._threads = threads
        self._payload = pack(context, run)
        self._jobs: dict[int, Job] = {}
        self._starts: dict[int, int] = {}
        self._processes: dict[int, int] = {}
        self._batches = 0
        self._heard: queue.SimpleQueue[Message | _Ended] = queue.SimpleQueue()
        self._lines = Lines(self._heard.put)
        self._closed = False
        self._pool = self._new_pool()

    @property
    def capacity(self) -> int:
        return max(0, self._workers - self._batches)

    @property
    def running(self) -> dict[int, int]:
        """Process ids of the workers by the number of the job they have begun."""
        return dict(self._processes)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._jobs[job.number] = job
            self._starts[job.number] = self._starts.get(job.number, 0) + 1
        self._batches += 1
        try:
            self._schedule(jobs)
        except RuntimeError:  # the pool broke when an idle worker died
            self._renew(self._pool)
            self._schedule(jobs)

    def poll(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events += self._handle(self._heard.get(block=timeout > 0, timeout=timeout or None))
            while True:
                events += self._handle(self._heard.get_nowait())
        return events

    def stop(self, number: int) -> None:
        if number in self._jobs:
            request_stop(Path(self._jobs[number].folder))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _new_pool(self) -> ProcessPool:
        line = (self._lines.address, self._lines.authkey)
        return ProcessPool(
            max_workers=self._workers,
            initializer=worker.initialize,
            initargs=(self._payload, *line, self._threads),
            context=WorkerContext(self._threads),
        )

    def _renew(self, broken: ProcessPool) -> None:
        """Replace a pool that gave up: pebble does when a worker without a job dies."""
        if self._pool is not broken:
            return
        if not self._lines.opened:
            raise ExecutorError(
                "worker processes end as soon as they start; run the trials in this process "
                "with jobs=0 to see why"
            )
        broken.stop()  # type: ignore[no-untyped-call]
        broken.join()
        self._pool = self._new_pool()

    def _schedule(self, jobs: Sequence[Job]) -> None:
        pool, numbers = self._pool, tuple(job.number for job in jobs)
        timeout = None if self._timeout is None else self._timeout * len(jobs)
        arguments = ([job.to_dict() for job in jobs],)
        future = pool.schedule(worker.run_batch, args=arguments, timeout=timeout)
        future.add_done_callback(
            lambda done: self._heard.put(_Ended(numbers, done.exception(), pool))
        )

    def _handle(self, heard: Message | _Ended) -> list[Event]:
        """Turn one message of a worker, or the end of a batch, into events."""
        if isinstance(heard, _Ended):
            return self._batch_ended(heard)
        number = heard["number"]
        if number not in self._jobs:  # a late word of a job already given up
            return []
        if "process" in heard:
            self._processes[number] = heard["process"]
        elif "step" in heard:
            return [StepEvent(number, StepRecord(**heard["step"]))]
        elif "result" in heard:
            return [self._done(TrialResult.from_dict(heard["result"]))]
        return []

    def _done(self, result: TrialResult) -> DoneEvent:
        for table in (self._jobs, self._starts, self._processes):
            table.pop(result.number, None)
        return DoneEvent(result)

    def _batch_ended(self, ended: _Ended) -> list[Event]:
        """Give up what a failed batch has begun, and hand the rest of it to another worker."""
        self._batches -= 1
        if ended.error is None:  # the results came over the line
            return []
        if isinstance(ended.error, ExecutorError):
            raise ended.error
        if isinstance(ended.error, BrokenProcessPool):
            self._renew(ended.pool)
        left = [self._jobs[number] for number in ended.numbers if number in self._jobs]
        lost = [job for job in left if self._begun(job)]
        if again := [job for job in left if not self._begun(job)]:
            self.submit(again)
        return [self._done(self._failed(job.number, ended.error)) for job in lost]

    def _begun(self, job: Job) -> bool:
        return job.number in self._processes or self._starts[job.number] >= _MOST_STARTS

    def _failed(self, number: int, error: BaseException) -> TrialResult:
        if isinstance(error, TimeoutError):
            seconds = self._timeout or 0.0
            message = f"no result within {seconds:g} s"
            return TrialResult(number, Status.TIMEOUT, seconds=seconds, message=message)
        return TrialResult(number, Status.CRASHED, message=_why(error))


@dataclass(frozen=True)
class _Ended:
    """The end of a batch: its jobs, what went wrong if anything, and the pool it ran in."""

    numbers: tuple[int, ...]
    error: BaseException | None
    pool: ProcessPool


def _why(error: BaseException) -> str:
    if isinstance(error, ProcessExpired):
        code = error.exitcode
        how = f"killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        return f"its worker process was {how}" if code < 0 else f"its worker process {how}"
    if isinstance(error, BrokenProcessPool):
        return "its worker process died"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""Trials in persistent worker processes on this machine."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Self

from autocompress.errors import ExecutorError
from autocompress.executors.base import DoneEvent, Event, StepEvent
from autocompress.executors.lines import Lines, Message
from autocompress.executors.shipping import pack
from autocompress.executors.slot import Batch, Ended, Slot, close_all, killed, why
from autocompress.explore.record import Status
from autocompress.explore.tail import with_last_words
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, request_stop, run_job
from autocompress.lc import StepRecord

_MOST_STARTS = 2
"""How often a job is handed to a worker that dies before it begins it."""


class LocalExecutor:
    """Worker processes that load the context once and then run job after job.

    A worker that dies takes down the job it was running, recorded as crashed, and nothing else: a
    new worker takes its place. If it was killed from outside, the job continues there from its last
    step; killed at the same step again, it has crashed. Nothing is shared between workers: each has
    a pool and a line for its steps and results of its own.

    Args:
        context: What all jobs share.
        workers: Number of processes.
        threads: Threads of the numerical libraries in each.
        timeout: Seconds a job may take; None for no limit.
        waits: Whether workers wait after each step until the driver has heard of it and polls
            again: a stop then takes effect right there, and not a step later.
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
        waits: bool = False,
        run: RunJob = run_job,
    ) -> None:
        self._timeout = timeout
        self._waits = waits
        self._unanswered: list[tuple[int, int]] = []
        self._jobs: dict[int, Job] = {}
        self._starts: dict[int, int] = {}
        self._processes: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self._killed_at: dict[int, int] = {}
        self._stillborn = 0
        self._waiting: deque[Batch] = deque()
        self._heard: queue.SimpleQueue[Message | Ended] = queue.SimpleQueue()
        payload = pack(context, run)
        self._lines = Lines(self._heard.put)
        arguments = (payload, self._lines.address, self._lines.authkey, threads, waits)
        self._slots = [Slot(arguments, threads, self._heard.put) for _ in range(workers)]
        self._closed = False

    @property
    def capacity(self) -> int:
        free = sum(slot.batch is None for slot in self._slots)
        return max(0, free - len(self._waiting))

    @property
    def running(self) -> dict[int, int]:
        """Process ids of the workers by the number of the job they have begun."""
        return dict(self._processes)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._jobs[job.number] = job
            self._starts[job.number] = self._starts.get(job.number, 0) + 1
        self._waiting.append(Batch(tuple(jobs)))
        self._assign()

    def _assign(self) -> None:
        for slot in self._slots:
            if slot.batch is None and self._waiting:
                batch = self._waiting.popleft()
                slot.start(batch, self._timeout and self._timeout * len(batch.jobs))

    def poll(self, timeout: float) -> list[Event]:
        for process, step in self._unanswered:
            self._lines.answer(process, step)
        self._unanswered.clear()
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events += self._handle(self._heard.get(block=timeout > 0, timeout=timeout or None))
            while True:
                events += self._handle(self._heard.get_nowait())
        for slot in self._slots:
            slot.check()
        return events

    def stop(self, number: int) -> None:
        if number in self._jobs:
            request_stop(Path(self._jobs[number].folder))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            close_all(self._slots)
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

    def _handle(self, heard: Message | Ended) -> list[Event]:
        """Turn one message of a worker, or the end of a batch, into events."""
        if isinstance(heard, Ended):
            return self._batch_ended(heard)
        if "gone" in heard:
            self._line_ended(heard["gone"])
            return []
        number = heard["number"]
        if number not in self._jobs:  # a late word of a job already given up
            return []
        if "process" in heard:
            self._processes[number] = heard["process"]
        elif "step" in heard:
            record = StepRecord(**heard["step"])
            if self._waits and number in self._processes:  # not a late word of a killed worker
                self._unanswered.append((self._processes[number], record.step))
            if record.step <= self._reached.get(number, -1):  # told before its worker was killed
                return []
            self._reached[number] = record.step
            return [StepEvent(number, record)]
        elif "result" in heard:
            return [self._done(TrialResult.from_dict(heard["result"]))]
        return []

    def _line_ended(self, process: int) -> None:
        numbers = {number for number, pid in self._processes.items() if pid == process}
        for slot in self._slots:
            if slot.batch and any(job.number in numbers for job in slot.batch.jobs):
                slot.line_ended()

    def _done(self, result: TrialResult) -> DoneEvent:
        numbered = (self._starts, self._processes, self._reached, self._killed_at)
        for table in (self._jobs, *numbered):
            table.pop(result.number, None)
        return DoneEvent(result)

    def _batch_ended(self, ended: Ended) -> list[Event]:
        """Give up what a failed batch has begun, and hand the rest of it to another worker."""
        if ended.slot.batch is not ended.batch:  # given up before
            return []
        ended.slot.batch = None
        events: list[Event] = []
        if ended.error is not None:
            events = self._failed(ended.slot, ended.batch, ended.error)
        self._assign()
        return events

    def _failed(self, slot: Slot, batch: Batch, error: BaseException) -> list[Event]:
        if isinstance(error, ExecutorError):
            raise error
        stillborn = isinstance(error, BrokenProcessPool) and not self._lines.opened
        self._stillborn += stillborn
        if stillborn and self._stillborn > 1:  # the first may have been killed by somebody
            raise ExecutorError(
                "worker processes end as soon as they start; run the trials in this process "
                "with jobs=0 to see why"
            )
        slot.renew()  # its worker may have died with a lock of its pool
        left = [self._jobs[job.number] for job in batch.jobs if job.number in self._jobs]
        for job in left:
            if self._begun(job) and self._goes_on(job, error):
                del self._processes[job.number]
                self._starts[job.number] = 0
        lost = [job for job in left if self._begun(job)]
        if again := [job for job in left if not self._begun(job)]:
            self.submit(again)
        return [self._done(self._verdict(job, error)) for job in lost]

    def _goes_on(self, job: Job, error: BaseException) -> bool:
        """Whether a job continues from its last step in another worker.

        It does if somebody killed its worker, unless that happened at the same step before: then
        it may be the job that has the system kill it, for want of memory.
        """
        if job.number not in self._processes or not killed(error):
            return False
        reached = self._reached.get(job.number, -1)
        again = self._killed_at.get(job.number) == reached
        self._killed_at[job.number] = reached
        return not again

    def _begun(self, job: Job) -> bool:
        return job.number in self._processes or self._starts[job.number] >= _MOST_STARTS

    def _verdict(self, job: Job, error: BaseException) -> TrialResult:
        status, seconds, message = Status.CRASHED, 0.0, why(error)
        if isinstance(error, TimeoutError):
            status, seconds = Status.TIMEOUT, self._timeout or 0.0
            message = f"no result within {seconds:g} s"
        message = with_last_words(message, Path(job.folder))
        return TrialResult(job.number, status, seconds=seconds, message=message)

"""Trials in persistent worker processes on this machine."""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections import deque
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from autocompress.errors import ExecutorError
from autocompress.executors.base import Closing, DoneEvent, Event, StepEvent
from autocompress.executors.lines import Lines, Message
from autocompress.executors.shipping import pack
from autocompress.executors.slot import Batch, Ended, Slot, close_all, killed, why
from autocompress.explore.record import Status
from autocompress.explore.tail import with_last_words
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, request_stop, run_job
from autocompress.lc import StepRecord

_MOST_STARTS = 2
"""How often a job is handed to a worker that dies before it begins it."""


@dataclass(eq=False)
class _Work:
    """A job that has not ended.

    Attributes:
        job: The job.
        ticket: That of the batch it is in.
        starts: How often it was handed to a worker since it last went on.
        process: The worker's process once that has begun it; None before.
        reached: Its last step that was told of.
        killed_at: The last step told of when its worker was killed; None if none was.
    """

    job: Job
    ticket: int = -1
    starts: int = 0
    process: int | None = None
    reached: int = -1
    killed_at: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a worker has begun it, or too many have died of it before."""
        return self.process is not None or self.starts >= _MOST_STARTS


class LocalExecutor(Closing):
    """Worker processes that load the context once and then run job after job.

    A worker that dies takes down the job it was running, recorded as crashed, and nothing else: a
    new worker takes its place. If it was killed from outside, the job continues there from its last
    step; killed at the same step again, it has crashed. Nothing is shared between workers: each has
    a pool and a line for its steps and results of its own.

    A job is handed on once all was heard that its dead worker had said, or was waited for in vain:
    what is said of a job counts only with the ticket of the batch that it is in now.

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
        self._waits = waits
        self._unanswered: list[tuple[int, int]] = []
        self._work: dict[int, _Work] = {}
        self._timeout = timeout
        self._tickets = itertools.count()
        self._stillborn = 0
        self._waiting: deque[Batch] = deque()
        self._heard: queue.SimpleQueue[Message | Ended] = queue.SimpleQueue()
        payload = pack(context, run)
        self._lines = Lines(self._heard.put)
        arguments = (payload, self._lines.address, self._lines.authkey, threads, waits)
        self._slots = [Slot(arguments, threads, timeout, self._heard.put) for _ in range(workers)]
        self._closed = False

    @property
    def capacity(self) -> int:
        free = sum(slot.batch is None for slot in self._slots)
        return max(0, free - len(self._waiting))

    @property
    def running(self) -> dict[int, int]:
        """Process ids of the workers by the number of the job they have begun."""
        return {n: w.process for n, w in self._work.items() if w.process is not None}

    def submit(self, jobs: Sequence[Job]) -> None:
        batch = Batch(next(self._tickets), tuple(jobs))
        for job in jobs:
            work = self._work.setdefault(job.number, _Work(job))
            work.ticket = batch.ticket
            work.starts += 1
        self._waiting.append(batch)
        self._assign()

    def _assign(self) -> None:
        for slot in self._slots:
            if slot.batch is None and self._waiting:
                slot.start(self._waiting.popleft())

    def poll(self, timeout: float) -> list[Event]:
        for line, step in self._unanswered:
            self._lines.answer(line, step)
        self._unanswered.clear()
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events += self._handle(self._heard.get(block=timeout > 0, timeout=timeout or None))
            while True:
                events += self._handle(self._heard.get_nowait())
        for slot in self._slots:
            if (ended := slot.over(bool(self._left(slot.batch)))) is not None:
                events += self._batch_ended(ended)
        return events

    def stop(self, number: int) -> None:
        if number in self._work:
            request_stop(Path(self._work[number].job.folder))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            close_all(self._slots)
            self._lines.close()

    def _handle(self, heard: Message | Ended) -> list[Event]:
        """Turn one message of a worker into events; note what tells of the end of a batch."""
        if isinstance(heard, Ended):
            heard.slot.pool_ended(heard)
            return []
        if "gone" in heard:
            for each in self._slots:
                each.line_ended(heard["line"])
            return []
        work, slot = self._work.get(heard["number"]), self._slot_of(heard["ticket"])
        if work is None or slot is None or work.ticket != heard["ticket"]:
            return []  # a late word of a worker whose batch was given up
        slot.spoke(heard["line"], begins="process" in heard)
        if "process" in heard:
            work.process = heard["process"]
        elif "step" in heard:
            record = StepRecord(**heard["step"])
            if self._waits:
                self._unanswered.append((heard["line"], record.step))
            if record.step > work.reached:  # or it was told before its worker was killed
                work.reached = record.step
                return [StepEvent(work.job.number, record)]
        elif "result" in heard:
            return [self._done(TrialResult.from_dict(heard["result"]))]
        return []

    def _slot_of(self, ticket: int) -> Slot | None:
        for slot in self._slots:
            if slot.batch is not None and slot.batch.ticket == ticket:
                return slot
        return None

    def _left(self, batch: Batch | None) -> list[_Work]:
        """Return the jobs of a batch that have no result yet."""
        if batch is None:
            return []
        works = (self._work.get(job.number) for job in batch.jobs)
        return [work for work in works if work is not None and work.ticket == batch.ticket]

    def _done(self, result: TrialResult) -> DoneEvent:
        del self._work[result.number]
        return DoneEvent(result)

    def _batch_ended(self, ended: Ended) -> list[Event]:
        """Give up what a failed batch has begun, and hand the rest of it to another worker."""
        ended.slot.batch = None  # from here on, nothing said with its ticket counts
        events: list[Event] = []
        if ended.error is not None:
            events = self._failed(ended.slot, ended.batch, ended.error)
        self._assign()
        return events

    def _failed(self, slot: Slot, batch: Batch, error: BaseException) -> list[Event]:
        if isinstance(error, ExecutorError):
            raise error
        self._check_starts(error)
        slot.renew()  # its worker may have died with a lock of its pool, or not be dead yet
        left = self._left(batch)
        for work in left:
            if work.begun and self._goes_on(work, error):
                work.process, work.starts = None, 0
        lost = [work for work in left if work.begun]
        if again := [work.job for work in left if not work.begun]:
            self.submit(again)
        return [self._done(self._verdict(work.job, error)) for work in lost]

    def _check_starts(self, error: BaseException) -> None:
        """Raise an error where no worker ever comes up, though one may be killed by somebody."""
        if self._lines.opened or not isinstance(error, BrokenProcessPool):
            return
        self._stillborn += 1
        if self._stillborn > len(self._slots):
            raise ExecutorError(
                "worker processes end as soon as they start; run the trials in this process "
                "with jobs=0 to see why"
            )

    def _goes_on(self, work: _Work, error: BaseException) -> bool:
        """Whether a job continues from its last step in another worker.

        It does if somebody killed its worker, unless that happened at the same step before: then
        it may be the job that has the system kill it, for want of memory.
        """
        if work.process is None or not killed(error):
            return False
        again = work.killed_at == work.reached
        work.killed_at = work.reached
        return not again

    def _verdict(self, job: Job, error: BaseException) -> TrialResult:
        status, seconds, message = Status.CRASHED, 0.0, why(error)
        if isinstance(error, TimeoutError):
            status, seconds = Status.TIMEOUT, self._timeout or 0.0
            message = f"no result within {seconds:g} s"
        message = with_last_words(message, Path(job.folder))
        return TrialResult(job.number, status, seconds=seconds, message=message)

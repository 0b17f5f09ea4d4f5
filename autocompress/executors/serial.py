"""Trials in this very process, one at a time: to debug, or for what cannot be sent elsewhere."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from autocompress.executors.base import Closing, DoneEvent, Event, StepEvent
from autocompress.explore.trial import Job, RunJob, TrialContext, request_stop, run_job
from autocompress.lc import StepRecord


class _Abandoned(BaseException):
    """Unwinds a job whose executor was closed; not an Exception, so that no job catches it."""


class SerialExecutor(Closing):
    """Runs jobs in a thread that only moves while :meth:`poll` waits for it.

    So nothing ever runs at the same time as the driver: global random generators are as safe as
    without threads, and a breakpoint stops the one trial. There is no timeout, and a trial that
    brings the process down takes the sweep with it.

    Args:
        context: What all jobs share.
        run: What to do with a job; for tests.
    """

    def __init__(self, context: TrialContext, *, run: RunJob = run_job) -> None:
        self._context = context
        self._run = run
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._go = threading.Semaphore(0)
        self._said: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def capacity(self) -> int:
        return 0 if self._current or self._waiting else 1

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self, timeout: float) -> list[Event]:
        if timeout <= 0:
            return []
        if self._current is None:
            if not self._waiting:
                return []
            self._current = self._waiting.popleft()
            self._thread = threading.Thread(target=self._work, args=(self._current,), daemon=True)
            self._thread.start()
        self._go.release()
        said = self._said.get()  # a step may take longer than the timeout: there is no other way
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, DoneEvent):
            self._current = None
        return [said]

    def stop(self, number: int) -> None:
        for job in (self._current, *self._waiting):
            if job is not None and job.number == number:
                request_stop(Path(job.folder))

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        if self._current is not None and self._thread is not None:
            self._go.release()
            self._thread.join()
            self._current = None

    def _work(self, job: Job) -> None:
        def on_step(record: StepRecord) -> None:
            self._said.put(StepEvent(job.number, record))
            self._go.acquire()
            if self._closed:
                raise _Abandoned

        self._go.acquire()
        try:
            self._said.put(DoneEvent(self._run(job, self._context, on_step)))
        except BaseException as error:  # a job turns its exceptions into statuses: this is a bug
            self._said.put(error)

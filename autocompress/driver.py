"""The loop of a sweep: ask the study, have trials run, tell it what came out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from autocompress.analysis.text import plan_summary
from autocompress.executors import DoneEvent, Executor
from autocompress.explore.entries import PendingTrial
from autocompress.explore.halving import Halver
from autocompress.explore.record import TrialRecord
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, TrialResult, clean_up, tidy
from autocompress.interrupts import remembered
from autocompress.lc import StepRecord
from autocompress.observer import Observer, Tally
from autocompress.runs import RunFolder

_PATIENCE = 0.25
"""Longest wait for news, seconds: an interrupt is noticed between two waits."""

Precheck = Callable[[PendingTrial], TrialRecord | None]
"""Returns the result of a trial that need not run, because it breaks a hard limit anyway."""

Judge = Callable[[TrialRecord], TrialRecord]
"""Returns a finished trial, infeasible instead of complete if it breaks a limit of the sweep."""

Enough = Callable[[Sequence[TrialRecord]], bool]
"""Returns whether a sweep may end before it has its trials."""


class Driver:
    """Keeps an executor busy until a study has its trials.

    Trials that a killed process left without a result run again first, under their own numbers,
    and continue from their last L-C step. A candidate equal to a finished one, modulo symmetry, is
    answered from the study; one equal to a running one waits for it.

    Args:
        study: The study, opened with the model.
        executor: Where trials run.
        folder: The run.
        total: Trials asked for.
        metrics: What is measured of each.
        observer: Who is told.
        precheck: See :data:`Precheck`.
        judge: See :data:`Judge`.
        halver: Who stops trials that fall behind; nobody by default.
        enough: Whether no other trial is worth its time, given all trials; never by default.
    """

    def __init__(
        self,
        study: Study,
        executor: Executor,
        folder: RunFolder,
        *,
        total: int,
        metrics: tuple[str, ...],
        observer: Observer | None = None,
        precheck: Precheck = lambda pending: None,
        judge: Judge = lambda record: record,
        halver: Halver | None = None,
        enough: Enough | None = None,
    ) -> None:
        self.study = study
        self.executor = executor
        self.folder = folder
        self.metrics = metrics
        self.observer = observer or Observer()
        self.precheck = precheck
        self.judge = judge
        self.halver = halver
        self.enough = enough
        ended = [record for record in study.records() if record.status.finished]
        self.tally = Tally(study.objectives, total, ended)
        self._again = deque(study.pending())
        self._running: dict[int, PendingTrial] = {}
        self._twins: dict[str, list[PendingTrial]] = {}
        self._since: dict[int, float] = {}
        self._steps: dict[int, list[StepRecord]] = {}

    def run(self) -> None:
        """Run until the trials asked for have ended, or too many in a row have failed.

        Raises:
            ExecutorError: trials cannot be run at all.
            RunError: the study cannot be written.
        """
        ended = (r for r in self.study.records() if r.status.finished and r.folder is not None)
        tidy(self.folder.trial(record.number) for record in ended)
        with remembered() as check_interrupt:
            self._fill()
            while self._running or self._again or self._wanted():
                check_interrupt()
                for event in self.executor.poll(_PATIENCE):
                    if isinstance(event, DoneEvent):
                        self._done(event.result)
                    else:
                        self._step(event.number, event.record)
                self._fill()

    def _fill(self) -> None:
        """Hand out trials while there are workers for them and trials to do."""
        while self.executor.capacity > 0 and (self._again or self._wanted()):
            self._dispatch(self._again.popleft() if self._again else self.study.ask())

    def _wanted(self) -> bool:
        if self.tally.hopeless:
            return False
        waiting = sum(len(twins) for twins in self._twins.values())
        if self.tally.spent + len(self._running) + waiting >= self.tally.total:
            return False
        return self.enough is None or not self.enough(self.study.records())

    def _dispatch(self, pending: PendingTrial) -> None:
        """Answer a trial if that is possible without running it, and else have it run."""
        known = self.study.answer(pending)
        if known is not None:
            self._ended(known)
        elif any(other.digest == pending.digest for other in self._running.values()):
            self._twins.setdefault(pending.digest, []).append(pending)
        elif (rejected := self.precheck(pending)) is not None:
            self._ended(self.study.tell(rejected))
        else:
            self._submit(pending)

    def _submit(self, pending: PendingTrial) -> None:
        path = self.folder.make(self.folder.relative(pending.number))
        candidate = pending.candidate.to_dict()
        self._running[pending.number] = pending
        self._since[pending.number] = time.monotonic()
        self._steps[pending.number] = []
        if self.halver is not None:
            self.halver.begin(pending.number, pending.candidate)
        job = Job(
            pending.number,
            candidate,
            pending.seed,
            str(path.resolve()),
            self.metrics,
            warm=self.folder.warm(pending.start),
            keep=self.study.continues,
        )
        self.executor.submit([job])
        self.observer.started(pending.number, pending.candidate.steps, plan_summary(candidate))

    def _step(self, number: int, record: StepRecord) -> None:
        self._steps[number].append(record)
        self.observer.step(number, record)
        if self.halver is not None and self.halver.step(number, record):
            self.executor.stop(number)

    def _done(self, result: TrialResult) -> None:
        pending = self._running.pop(result.number)
        since = self._since.pop(result.number)
        record = pending.record(
            result.status,
            result.metrics,
            seconds=result.seconds or time.monotonic() - since,
            message=result.message,
            folder=self.folder.relative(pending.number),
            steps=self._steps.pop(result.number),
            hardware=result.hardware,
        )
        record = self.study.tell(self.judge(record))
        if self.halver is not None:
            self.halver.end(record)
        clean_up(self.folder.trial(record.number))
        self._ended(record)
        for twin in self._twins.pop(pending.digest, []):
            self._dispatch(twin)  # answered now, or run itself if the first one crashed

    def _ended(self, record: TrialRecord) -> None:
        self.tally.add(record)
        self.observer.ended(record)

"""The end of a sweep: the trials on and near the front are run again under other seeds."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

from autocompress.analysis.noise import contenders
from autocompress.executors import DoneEvent, Executor
from autocompress.explore.record import TrialRecord
from autocompress.explore.repeats import Repeat
from autocompress.explore.sampling import derive_seed
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, TrialResult, clean_up, tidy
from autocompress.interrupts import remembered
from autocompress.observer import Observer
from autocompress.runs import RunFolder


@dataclass(frozen=True)
class _Run:
    """A repeat to do."""

    record: TrialRecord
    index: int


class Repeater:
    """Has repeats run that the study does not have yet.

    They are no trials: they have no number, are never deduplicated and never seen by a sampler.
    One that was interrupted goes on from its last L-C step.

    Args:
        study: The study; its trials have ended.
        executor: Where repeats run.
        folder: The run.
        seeds: Seeds in all, a trial's own included.
        metrics: What is measured of each.
        observer: Who is told.
    """

    def __init__(
        self,
        study: Study,
        executor: Executor,
        folder: RunFolder,
        *,
        seeds: int,
        metrics: tuple[str, ...],
        observer: Observer | None = None,
    ) -> None:
        self.study = study
        self.executor = executor
        self.folder = folder
        self.metrics = metrics
        self.observer = observer or Observer()
        stored = study.repeats()
        done = {(r.trial, r.index) for repeats in stored.values() for r in repeats}
        tidy(folder.path / r.folder for repeats in stored.values() for r in repeats)
        # all trials under the second seed, then under the third: of use whenever it is stopped
        runs = [_Run(r, i) for i in range(1, seeds) for r in contenders(study.front())]
        self._missing = deque(run for run in runs if (run.record.number, run.index) not in done)
        self._running: dict[int, _Run] = {}
        self._total = len(self._missing)
        self._ended = 0
        self._numbers = itertools.count()  # an executor's, of no meaning elsewhere

    def run(self) -> None:
        """Run until all repeats asked for have ended.

        Raises:
            ExecutorError: they cannot be run at all.
            RunError: the study cannot be written.
        """
        if self._total:
            self.observer.phase(f"repeating: {self._total} runs under other seeds")
        with remembered() as check_interrupt:
            self._fill()
            while self._running or self._missing:  # a worker may be free only after a while
                check_interrupt()
                for event in self.executor.poll(0.25):
                    if isinstance(event, DoneEvent):
                        self._done(event.result)
                self._fill()

    def _fill(self) -> None:
        while self.executor.capacity > 0 and self._missing:
            run = self._missing.popleft()
            number = next(self._numbers)
            self._running[number] = run
            self.executor.submit([self._job(number, run)])

    def _job(self, number: int, run: _Run) -> Job:
        record = run.record
        path = self.folder.make(self._relative(run))
        return Job(
            number,
            dict(record.candidate or {}),
            self._seed(run),
            str(path.resolve()),
            self.metrics,
            warm=self.folder.warm(record.start),
            label=f"repeat {run.index} of trial {record.number}",
        )

    def _seed(self, run: _Run) -> int:
        return derive_seed(self.study.setup.seed, run.record.number, "repeat", run.index)

    def _relative(self, run: _Run) -> str:
        return f"{self.folder.relative(run.record.number)}/repeats/{run.index}"

    def _done(self, result: TrialResult) -> None:
        run = self._running.pop(result.number)
        self.study.set_repeat(
            Repeat(
                run.record.number,
                run.index,
                self._seed(run),
                result.status,
                result.metrics,
                result.seconds,
                result.message,
                self._relative(run),
            )
        )
        clean_up(self.folder.path / self._relative(run))
        self._ended += 1
        self.observer.phase(
            f"repeating: {self._ended} of {self._total} runs; repeat {run.index} of trial "
            f"{run.record.number} {result.status}"
        )

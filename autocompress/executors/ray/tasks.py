"""Jobs on their way: those that wait for a worker, and what is told of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocompress.executors.base import DoneEvent, StepEvent
from autocompress.executors.ray.files import Courier
from autocompress.explore.record import Status
from autocompress.explore.tail import with_last_words
from autocompress.explore.trial import Job, TrialResult
from autocompress.lc import StepRecord
from autocompress.metrics import METRICS

Kind = str
"""``trial``; ``alone``, with a GPU of its own; ``timer``, to measure latency only."""


TIMED = tuple(name for name in METRICS if name.startswith("latency"))
"""Metrics that depend on the machine they are measured on."""


@dataclass(eq=False)
class Task:
    """A job on its way.

    Attributes:
        job: The job, as the driver gave it.
        name: Its folder relative to the run.
        kind: What is to be done, and what for it is reserved.
        told: Last step the driver has heard of; -1 for none.
        deaths: Worker processes that died with it, one after the other, after the same step.
        died_at: That step.
        result: The trial's result while latency is being measured.
    """

    job: Job
    name: str
    kind: Kind = "trial"
    told: int = -1
    deaths: int = 0
    died_at: int | None = None
    result: TrialResult | None = None

    def died(self) -> None:
        """Note that its worker process died."""
        self.deaths = self.deaths + 1 if self.died_at == self.told else 1
        self.died_at = self.told

    def end(self, status: Status, message: str, seconds: float = 0.0) -> TrialResult:
        """Return the result of a job that no worker told one of, with the end of its log."""
        message = with_last_words(message, Path(self.job.folder))
        steps = max(self.told, 0)
        return TrialResult(self.job.number, status, seconds=seconds, message=message, steps=steps)

    def why(self) -> str:
        """Return what became of its worker, in a few words."""
        times = {1: "", 2: " twice"}.get(self.deaths, f" {self.deaths} times")
        where = f" after L-C step {self.told}" if self.told >= 0 else " before its first L-C step"
        return f"its worker process died{times}{where}"


class Tasks:
    """The tasks of a sweep that have not ended.

    Args:
        courier: Takes their files to the nodes and home.
        elsewhere: Whether :data:`TIMED` metrics are measured on other nodes than those that run
            trials.
    """

    def __init__(self, courier: Courier, *, elsewhere: bool) -> None:
        self._courier = courier
        self._elsewhere = elsewhere
        self._open: dict[int, Task] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, task: Task) -> bool:
        """Whether a task has not ended."""
        return self._open.get(task.job.number) is task

    def add(self, job: Job) -> Task:
        """Take in a job."""
        task = Task(job, self._courier.name(job.folder))
        self._courier.send(job, task.name)
        self._open[job.number] = task
        return task

    def timed(self, task: Task) -> tuple[str, ...]:
        """Return the metrics that other nodes than the task's are to measure."""
        if not self._elsewhere:
            return ()
        return tuple(name for name in task.job.metrics if name in TIMED)

    def here(self, task: Task) -> Job:
        """Return the job as its worker is to do it."""
        timed = self.timed(task)
        metrics = tuple(name for name in task.job.metrics if name not in timed)
        return dataclasses.replace(task.job, metrics=metrics)

    def step(self, task: Task, values: Mapping[str, Any]) -> list[StepEvent]:
        """Return the event of a step, once: a worker that goes on tells of earlier steps again."""
        record = StepRecord(**values)
        if record.step <= task.told:
            return []
        task.told = record.step
        return [StepEvent(task.job.number, record)]

    def result(self, task: Task, result: TrialResult) -> list[DoneEvent]:
        """Take a result; the trial has ended unless there is something to measure elsewhere."""
        if result.status is Status.COMPLETE and self.timed(task):
            task.result, task.kind = result, "timer"
            return []
        return [self._end(task, result)]

    def measured(self, task: Task, values: Mapping[str, Any]) -> list[DoneEvent]:
        """Add to a result what was measured elsewhere, and on which hardware."""
        if task.result is None:
            return []
        metrics = {**task.result.metrics, **values["metrics"]}
        metrics = {name: metrics[name] for name in task.job.metrics if name in metrics}
        result = dataclasses.replace(task.result, metrics=metrics, hardware=values["hardware"])
        return [self._end(task, result)]

    def failed(
        self, task: Task, status: Status, message: str, seconds: float = 0.0
    ) -> list[DoneEvent]:
        """End a trial that gave no result; its log, come home, tells more."""
        self._courier.bring(task.job, task.name)
        return [self._end(task, task.end(status, message, seconds), there=False)]

    def _end(self, task: Task, result: TrialResult, *, there: bool = True) -> DoneEvent:
        """Forget a task, what it left brought home."""
        if there:
            self._courier.bring(task.job, task.name)
        self._open.pop(task.job.number, None)
        return DoneEvent(result)

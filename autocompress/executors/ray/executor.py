"""Trials on a Ray cluster, run by Ray Tune."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from autocompress.errors import ExecutorError
from autocompress.executors.base import Closing, Event
from autocompress.executors.ray.cluster import Cluster
from autocompress.executors.ray.files import Courier
from autocompress.executors.ray.run import Run
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.storage import Storage
from autocompress.executors.ray.tasks import Task, Tasks
from autocompress.executors.ray.work import Trials
from autocompress.executors.ray.worker import Message, Work
from autocompress.executors.shipping import pack
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, run_job

if TYPE_CHECKING:
    from autocompress.executors.ray.tuner import Tuner

_LAST_WORDS = 2.0
"""Seconds that workers have to write where they stand before they are ended for being late."""
_MOST_STILLBORN = 5
"""How many workers in a row may die before they come up."""


class RayExecutor(Closing):
    """Ray Tune, whose actors load the context once and then run trial after trial.

    The context lies in the cluster's object store, once. A trial whose worker or node is lost goes
    on at its last L-C step on another; one whose worker process dies again after the same step has
    crashed. One that runs out of memory next to others on a GPU is tried once more with a GPU of
    its own.

    Args:
        context: What all jobs share.
        run: The run's folder; jobs' folders lie in it.
        settings: The cluster, and what each trial is given.
        storage: Where states and files pass; None where all nodes see the run's folder.
        threads: Threads of the numerical libraries in each worker.
        timeout: Seconds a job may take on a worker; None for no limit.
        waits: Whether workers wait after each step until the driver has heard of it and polls
            again: a stop then takes effect right there, and not a step later.
        local: CPUs of a Ray that is started here; None for all.
        work: What to do with a job; for tests.
        load: Makes what a worker does with jobs instead of running trials, context and all: for
            workers that are to stay light.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: a trial needs more than any node has.
        ExecutorError: the cluster cannot be reached, or the context not be sent.
    """

    def __init__(
        self,
        context: TrialContext,
        run: Path,
        settings: RaySettings | None = None,
        *,
        storage: Storage | None = None,
        threads: int = 1,
        timeout: float | None = None,
        waits: bool = False,
        local: int | None = None,
        work: RunJob = run_job,
        load: Callable[[], Work] | None = None,
    ) -> None:
        self._settings = settings or RaySettings()
        self._timeout = timeout
        self._broken: ExecutorError | None = None
        self._closed = False
        self._stillborn = 0
        if load is None:
            payload = pack(context, work, small=self._settings.small_data)
            load = partial(Trials, payload, threads, self._settings.gpus_per_trial > 0, storage)
        self._courier = Courier(Path(run), storage)
        self._tasks = Tasks(self._courier, elsewhere=self._settings.latency_on is not None)
        self._cluster = Cluster(self._settings, cpus=local)
        self.workers = self._settings.max_concurrent or self._cluster.places(self._settings)
        worker = {
            "load": cloudpickle.dumps(load),
            "probe": str(self._courier.probe) if storage is None else None,
            "limit": timeout,
        }
        self._tuner = self._make_tuner(worker, waits=waits)

    def _make_tuner(self, worker: dict[str, Any], *, waits: bool) -> Tuner:
        from autocompress.executors.ray.tuner import Tuner  # imports Ray, whose address is set now

        return Tuner(self._cluster, self._settings, self.workers, waits=waits, worker=worker)

    @property
    def capacity(self) -> int:
        return max(0, self.workers - len(self._tasks))

    @property
    def running(self) -> dict[int, dict[str, Any]]:
        """Where jobs run, by number: ``node``, ``host``, ``process`` and ``gpus``."""
        return {run.task.job.number: run.place for run in self._tuner.runs if run.place}

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._begin(self._tasks.add(job))

    def _begin(self, task: Task) -> None:
        self._courier.show()
        if task.kind == "timer":
            self._tuner.begin(task, task.job, self._tasks.timed(task))
        else:
            self._tuner.begin(task, self._tasks.here(task), None)

    def poll(self, timeout: float) -> list[Event]:
        if self._broken is not None:
            raise self._broken
        events: list[Event] = []
        try:
            self._cluster.check()
            for note in self._tuner.read(timeout):
                if note.run is None:
                    self._cluster.check(now=True)
                    raise ExecutorError(note.message["fatal"])
                if note.run.task in self._tasks:  # not given up for being late
                    events += self._message(note.run, note.message)
            events += self._late()
        except ExecutorError as error:
            if not events:
                raise
            self._broken = error  # what others have finished comes first
        return events

    def stop(self, number: int) -> None:
        self._tuner.stop(number)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._tuner.close(there=self._cluster.there)
            self._courier.close()
            self._cluster.close()

    def _message(self, run: Run, message: Message) -> Sequence[Event]:
        """Take what was said of a run."""
        task = run.task
        if "place" in message:
            self._begun(run, message["place"])
        if "step" in message:
            return self._tasks.step(task, message["step"])
        if "fatal" in message:
            raise ExecutorError(message["fatal"])
        if "lost" in message:
            return self._lost(run, message["lost"])
        if "broken" in message:
            return self._tasks.failed(task, Status.CRASHED, message["broken"])
        if "metrics" in message:
            return self._tasks.measured(task, message)
        if "result" in message:
            return self._result(task, TrialResult.from_dict(message["result"]))
        return []

    def _begun(self, run: Run, place: dict[str, Any]) -> None:
        """Take in what a worker says of itself.

        Raises:
            ExecutorError: it cannot work there.
        """
        where = f"a worker on node {place['host']}"
        if place["failure"]:
            raise ExecutorError(f"{where} cannot load the model and the data: {place['failure']}")
        if not place["sees"]:
            raise ExecutorError(
                f"{where} does not see the run's folder {self._courier.run}: give a storage_path "
                f"(--storage-path), a folder or URI that all nodes reach"
            )
        run.begun(place)
        self._stillborn = 0

    def _result(self, task: Task, result: TrialResult) -> Sequence[Event]:
        """Take a result, which may be to try again or to measure elsewhere."""
        shared = task.kind == "trial" and 0 < self._settings.gpus_per_trial < 1
        if result.status is Status.OUT_OF_MEMORY and shared:
            task.kind = "alone"
            self._begin(task)
            return []
        events = self._tasks.result(task, result)
        if not events:
            self._begin(task)
        return events

    def _late(self) -> Iterator[Event]:
        """Give up what takes too long."""
        if self._timeout is None:
            return
        begun = time.monotonic() - self._timeout - _LAST_WORDS
        for run in self._tuner.runs:
            if run.place is not None and run.since < begun and not run.over:
                self._tuner.end(run)
                why = f"no result within {self._timeout:g} s"
                yield from self._tasks.failed(run.task, Status.TIMEOUT, why, self._timeout)

    def _lost(self, run: Run, why: str) -> Sequence[Event]:
        """Hand on the task of a worker that is gone."""
        self._cluster.check(now=True)
        self._tuner.end(run)  # out of reach it may be, and work on
        task, place = run.task, run.place
        if place is None:
            self._not_born(why)
        # one that is out of reach is one of a lost node, which Ray is slow to tell
        elif "is unavailable" not in why and self._cluster.alive(place["node"]):
            task.died()
        if task.deaths <= self._settings.retries:
            self._begin(task)
            return []
        status = Status.OUT_OF_MEMORY if "OutOfMemoryError" in why else Status.CRASHED
        return self._tasks.failed(task, status, task.why())

    def _not_born(self, why: str) -> None:
        """Note that a worker died before it came up.

        Raises:
            ExecutorError: none ever will.
        """
        self._stillborn += 1
        if self._stillborn > _MOST_STILLBORN or "creation task" in why:
            lines = [line.strip() for line in why.splitlines() if line.strip()]
            raise ExecutorError(
                f"workers cannot start on the cluster: {(lines or ['no reason'])[-1][:200]}; is "
                f"autocompress installed on all nodes, in the same version?"
            )

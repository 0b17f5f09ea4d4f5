"""Trials in actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autocompress.errors import ExecutorError
from autocompress.executors.base import DoneEvent, Event, StepEvent
from autocompress.executors.ray.actor import Message, Worker
from autocompress.executors.ray.alone import Room
from autocompress.executors.ray.cluster import Cluster
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.slot import Slot, Task, end_actor, relative
from autocompress.executors.ray.storage import LEFT, ON_THE_WAY, START, Storage
from autocompress.executors.shipping import pack
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, RunJob, TrialContext, TrialResult, run_job
from autocompress.lc import StepRecord
from autocompress.metrics import METRICS

TIMED = tuple(name for name in METRICS if name.startswith("latency"))
"""Metrics that depend on the machine they are measured on."""
_MOST_STILLBORN = 5
"""How many workers in a row may die before they come up."""


class RayExecutor:
    """Actors that load the context once and then run trial after trial.

    The context lies in the cluster's object store, once. A trial whose worker or node is lost goes
    on at its last L-C step on another; one that runs out of memory next to others on a GPU is tried
    once more with a GPU of its own.

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
    ) -> None:
        self._settings = settings or RaySettings()
        self._run = Path(run).resolve()
        self._storage = storage
        self._timeout = timeout
        self._slots: list[Slot] = []
        self._waiting: deque[Task] = deque()
        self._room = Room()
        self._stillborn = 0
        self._tasks: dict[int, Task] = {}
        self._closed = False
        self._probe = self._run / f".seen-{secrets.token_hex(4)}"
        payload = pack(context, work, small=self._settings.small_data)
        self._cluster = Cluster(self._settings, cpus=local)
        self._ray = self._cluster.ray
        gpu = self._settings.gpus_per_trial > 0
        self._arguments = (self._ray.put(payload), threads, waits, gpu, storage)
        self._class = self._ray.remote(Worker)
        self.workers = self._settings.max_concurrent or self._cluster.places(self._settings)

    @property
    def capacity(self) -> int:
        return max(0, self.workers - len(self._tasks))

    def warm_up(self, seconds: float) -> int:
        """Bring workers up before there is work; return how many there are.

        Args:
            seconds: How long to wait for all of them.

        Raises:
            ExecutorError: they cannot start.
        """
        deadline = time.monotonic() + seconds
        while len(self._slots) < self.workers:
            self._slots.append(self._new("trial"))
        while time.monotonic() < deadline and any(s.place is None for s in self._slots):
            self.poll(0.25)
        return sum(slot.place is not None for slot in self._slots)

    @property
    def running(self) -> dict[int, dict[str, Any]]:
        """Where jobs run, by number: ``node``, ``host``, ``process`` and ``gpus``."""
        busy = ((slot.task, slot.place) for slot in self._slots)
        return {task.job.number: place for task, place in busy if task and place}

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            task = Task(job, relative(job.folder, str(self._run)))
            self._send(task)
            self._tasks[job.number] = task
            self._waiting.append(task)
        self._assign()

    def _send(self, task: Task) -> None:
        """Put what the trial goes on from, and starts from, where all nodes reach it."""
        if self._storage is None:
            return
        folder = Path(task.job.folder)
        for file in ON_THE_WAY:
            if (folder / file).exists():
                self._storage.put(folder / file, f"{task.name}/{file}")
        if task.job.warm is not None and Path(task.job.warm).exists():
            self._storage.put(Path(task.job.warm), f"{task.name}/{START}")

    def poll(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        for slot in self._slots:
            if slot.task is not None and slot.reply is None:
                slot.listen()  # only now: whatever it told before has been dealt with
        by_reply = {slot.reply: slot for slot in self._slots if slot.reply is not None}
        if by_reply:
            ready, _ = self._ray.wait(
                list(by_reply), num_returns=len(by_reply), timeout=0, fetch_local=False
            )
            if not ready:
                ready, _ = self._ray.wait(list(by_reply), num_returns=1, timeout=timeout)
            for reply in ready:
                events += self._heard(by_reply[reply])
        elif timeout > 0:
            time.sleep(timeout)
        events += self._late()
        for slot in self._room.vacated(self._slots):
            self._retire(slot)
        if (task := self._room.ready(self._slots)) is not None:
            self._waiting.append(task)
        self._assign()
        return events

    def stop(self, number: int) -> None:
        for slot in self._slots:
            if slot.task is not None and slot.task.job.number == number:
                slot.stop()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for slot in self._slots:
                end_actor(self._ray, slot)
            self._slots.clear()
            self._probe.unlink(missing_ok=True)
            self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _assign(self) -> None:
        """Give waiting tasks to free actors, and ask for as many more as are of use."""
        for slot in self._slots:
            task = next((t for t in self._waiting if t.kind == slot.kind), None)
            if slot.free and task is not None:
                self._waiting.remove(task)
                self._start(slot, task)
        most_of = {"trial": self.workers, "timer": 1, "alone": 1}
        if self._room.task is not None and not any(
            s.kind == "alone" and s.place for s in self._slots
        ):
            most_of["trial"] = 0  # none that would take a part of the emptied GPU
        for kind, most in most_of.items():
            wanted = sum(task.kind == kind for task in self._waiting)
            there = [slot for slot in self._slots if slot.kind == kind and slot.room is None]
            coming = sum(slot.place is None for slot in there)
            for _ in range(min(most - len(there), wanted - coming)):
                self._slots.append(self._new(kind))

    def _start(self, slot: Slot, task: Task) -> None:
        job, timed = task.job, self._timed(task.job)
        if slot.kind == "timer":
            slot.start(task, job, timed)
        else:
            job = dataclasses.replace(job, metrics=tuple(m for m in job.metrics if m not in timed))
            slot.start(task, job, None)

    def _timed(self, job: Job) -> tuple[str, ...]:
        """Return the metrics that are measured on certain nodes only."""
        if self._settings.latency_on is None:
            return ()
        return tuple(name for name in job.metrics if name in TIMED)

    def _new(self, kind: str) -> Slot:
        """Ask for an actor; where it comes up, and when, is Ray's business."""
        settings = self._settings
        gpus = settings.gpus_per_trial
        options: dict[str, Any] = {"num_cpus": settings.cpus_per_trial, "num_gpus": gpus}
        if kind == "alone":
            options["num_gpus"] = 1
        elif kind == "timer":
            options = {"num_cpus": 0, "num_gpus": gpus, "resources": {settings.latency_on: 1}}
        actor = self._class.options(max_concurrency=4, **options).remote(*self._arguments)
        self._run.mkdir(parents=True, exist_ok=True)
        self._probe.touch()
        return Slot(kind, actor, reply=actor.hello.remote(str(self._probe)))

    def _heard(self, slot: Slot) -> list[Event]:
        """Take an actor's answer, or learn of its end."""
        try:
            said = self._ray.get(slot.reply)
        except self._ray.exceptions.RayError as error:
            return self._lost(slot, error)
        if slot.place is None:
            self._greeted(slot, said)
            return []
        events: list[Event] = []
        for message in said:
            events += self._message(slot, message)
        slot.reply = None
        return events

    def _greeted(self, slot: Slot, place: dict[str, Any]) -> None:
        where = f"a worker on node {place['host']}"
        if place["failure"]:
            raise ExecutorError(f"{where} cannot load the model and the data: {place['failure']}")
        if not place["sees"]:
            raise ExecutorError(
                f"{where} does not see the run's folder {self._run}: give a storage_path "
                f"(--storage-path), a folder or URI that all nodes reach"
            )
        slot.place, slot.reply = place, None
        self._stillborn = 0

    def _message(self, slot: Slot, message: Message) -> list[Event]:
        task = slot.task
        if task is None:
            return []
        if "step" in message:
            record = StepRecord(**message["step"])
            if record.step <= task.told:  # told before its first worker was lost
                return []
            task.told = record.step
            return [StepEvent(task.job.number, record)]
        slot.task = None
        if "fatal" in message:
            raise ExecutorError(message["fatal"])
        if "broken" in message:
            return [self._done(task, task.end(Status.CRASHED, message["broken"]))]
        if "metrics" in message and task.result is not None:
            metrics = {**task.result.metrics, **message["metrics"]}
            metrics = {name: metrics[name] for name in task.job.metrics if name in metrics}
            return [self._done(task, dataclasses.replace(task.result, metrics=metrics))]
        return self._result(slot, task, TrialResult.from_dict(message["result"]))

    def _result(self, slot: Slot, task: Task, result: TrialResult) -> list[Event]:
        """Take a trial's result, unless it is to be tried alone or to be measured elsewhere."""
        if slot.kind == "alone":
            self._retire(slot)
            self._room.done()
        elif result.status is Status.OUT_OF_MEMORY and 0 < self._settings.gpus_per_trial < 1:
            self._room.want(task, slot.place or {})
            return []
        if result.status is Status.COMPLETE and self._timed(task.job):
            task.result, task.kind = result, "timer"
            self._waiting.append(task)
            return []
        return [self._done(task, result)]

    def _done(self, task: Task, result: TrialResult) -> DoneEvent:
        """Bring home what the trial left, and forget it."""
        self._tasks.pop(task.job.number, None)
        if self._storage is not None:
            for file in LEFT:
                self._storage.get(f"{task.name}/{file}", Path(task.job.folder) / file)
            self._storage.remove(task.name)
        return DoneEvent(result)

    def _retire(self, slot: Slot) -> None:
        end_actor(self._ray, slot)
        with contextlib.suppress(ValueError):
            self._slots.remove(slot)

    def _late(self) -> list[Event]:
        """Give up what takes too long."""
        if self._timeout is None:
            return []
        begun = time.monotonic() - self._timeout
        events: list[Event] = []
        for slot in [s for s in self._slots if s.task and s.since < begun]:
            task = slot.task
            self._retire(slot)
            if slot.kind == "alone":
                self._room.done()
            if task is not None:
                why = f"no result within {self._timeout:g} s"
                events.append(self._done(task, task.end(Status.TIMEOUT, why, self._timeout)))
        return events

    def _lost(self, slot: Slot, error: Exception) -> list[Event]:
        """Hand on the task of a worker that is gone."""
        task, place = slot.task, slot.place
        self._retire(slot)
        if place is None:
            self._not_born(error)
        if task is None:
            return []
        if place is not None and self._cluster.alive(place["node"]):
            task.deaths += 1
        if task.deaths <= self._settings.retries:
            self._waiting.appendleft(task)
            return []
        if slot.kind == "alone":
            self._room.done()
        memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        status = Status.OUT_OF_MEMORY if memory else Status.CRASHED
        return [self._done(task, task.end(status, f"its worker process died: {_line(error)}"))]

    def _not_born(self, error: Exception) -> None:
        """Raise an error where no worker will ever come up."""
        self._stillborn += 1
        dead = isinstance(error, self._ray.exceptions.RayActorError)
        if (
            self._stillborn > _MOST_STILLBORN
            or not dead
            or getattr(error, "actor_init_failed", False)
        ):
            raise ExecutorError(
                f"workers cannot start on the cluster: {_line(error)}; is autocompress installed "
                f"on all nodes, in the same version?"
            ) from error


def _line(error: Exception) -> str:
    """Return the last line of what Ray says, which is the one that tells why, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]

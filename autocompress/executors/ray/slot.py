"""A place for one worker actor."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autocompress.explore.record import Status
from autocompress.explore.trial import Job, TrialResult

Kind = str  # of actors, and of the tasks they take
"""``trial``; ``alone``, with a GPU of its own; ``timer``, to measure latency only."""


@dataclass(eq=False)
class Task:
    """A job on its way.

    Attributes:
        job: The job, as the driver gave it.
        name: Its folder relative to the run.
        kind: Which actors may take it.
        deaths: Worker processes that died with it.
        told: Last step the driver has heard of; -1 for none.
        result: The trial's result while latency is being measured.
    """

    job: Job
    name: str
    kind: Kind = "trial"
    deaths: int = 0
    told: int = -1
    result: TrialResult | None = None

    def end(self, status: Status, message: str, seconds: float = 0.0) -> TrialResult:
        """Return the result of a job that no worker told one of."""
        return TrialResult(
            self.job.number, status, seconds=seconds, message=message, steps=max(self.told, 0)
        )


@dataclass(eq=False)
class Slot:
    """An actor, from the moment it is asked for until it is gone.

    Attributes:
        kind: What it is for.
        actor: Ray's handle.
        reply: What is awaited of it: its greeting, then its news, one call after the other.
        place: What it said of itself when it came up; None before.
        task: What it is doing.
        since: When it began that, by the monotonic clock.
        room: The task that is to have its GPU alone: it takes no other.
        asked: Whether the task is to stop.
    """

    kind: Kind
    actor: Any
    reply: Any = None
    place: dict[str, Any] | None = None
    task: Task | None = None
    since: float = 0.0
    room: Task | None = None
    asked: bool = field(default=False)

    @property
    def free(self) -> bool:
        """Whether it can take a task now."""
        return self.place is not None and self.task is None and self.room is None

    def start(self, task: Task, job: Job, measured: tuple[str, ...] | None) -> None:
        """Have it do a task."""
        self.task, self.since, self.asked = task, time.monotonic(), False
        self.actor.begin.remote(job.to_dict(), task.name, measured)
        self.listen()

    def listen(self) -> None:
        """Ask for its next news."""
        number = self.task.job.number if self.task and self.asked else None
        self.reply = self.actor.news.remote(number)

    def stop(self) -> None:
        """Have its task end after the current step."""
        if self.task is not None:
            self.asked = True
            self.actor.stop.remote(self.task.job.number)

    def same_gpu(self, place: Mapping[str, Any]) -> bool:
        """Whether it shares a GPU with a place."""
        if self.place is None:
            return False
        same = self.place["node"] == place["node"]
        return same and bool(set(self.place["gpus"]) & set(place["gpus"]))


def end_actor(ray: Any, slot: Slot) -> None:
    """End an actor at once, whatever it is doing."""
    with contextlib.suppress(Exception):  # it, its node or the whole cluster is gone already
        ray.kill(slot.actor, no_restart=True)


def relative(folder: str, run: str) -> str:
    """Return a job's folder relative to the run, as storages name it."""
    return os.path.relpath(folder, run).replace(os.sep, "/")

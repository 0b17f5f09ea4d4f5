"""A place for one worker actor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autocompress.executors.ray.tasks import Kind, Task
from autocompress.explore.trial import Job


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

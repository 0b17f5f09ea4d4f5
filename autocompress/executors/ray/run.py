"""One attempt at a task: a trial of Ray Tune's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from autocompress.executors.ray.tasks import Task


@dataclass(eq=False)
class Run:
    """A task given to Ray Tune; another attempt at it is another one.

    Attributes:
        task: The task.
        config: What Tune's trial is configured with.
        trial: Tune's trial, once there is one.
        actor: Ray's handle, once it has come up.
        place: What its worker said of itself when it began; None before.
        asked: When it was handed to Tune, by the monotonic clock.
        since: When its worker began.
        stopped: Whether it is to end after its current step.
        over: Whether nothing more is expected of it.
    """

    task: Task
    config: dict[str, str]
    trial: Any = None
    actor: Any = None
    place: dict[str, Any] | None = None
    asked: float = field(default_factory=time.monotonic)
    since: float = 0.0
    stopped: bool = False
    over: bool = False

    @property
    def needs(self) -> str:
        """What Ray reserves for it; runs that need the same use each other's workers."""
        return self.config["needs"]

    @property
    def alone(self) -> bool:
        """Whether it has a GPU to itself."""
        return self.task.kind == "alone"

    def begun(self, place: dict[str, Any]) -> None:
        """Note that a worker has begun it."""
        self.place, self.since = place, time.monotonic()

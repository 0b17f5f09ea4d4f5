"""Room on a GPU for a trial that ran out of memory next to others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from autocompress.executors.ray.slot import Slot
from autocompress.executors.ray.tasks import Task


class Room:
    """Empties one GPU at a time, and keeps it empty until its trial has come up there.

    Actors hold their part of a GPU as long as they live. So those of the GPU take no new trial, end
    once they are idle, and only then a whole GPU is asked for.

    Attributes:
        task: The trial that has a GPU alone, or is to have one.
        asked: Whether its actor has been asked for.
    """

    def __init__(self) -> None:
        self.task: Task | None = None
        self.asked = False
        self._waiting: deque[tuple[Task, dict[str, Any]]] = deque()

    def want(self, task: Task, place: dict[str, Any]) -> None:
        """Have a trial tried alone; the GPU of this place is to be emptied for it."""
        task.kind = "alone"
        self._waiting.append((task, place))

    def done(self) -> None:
        """Let others onto the GPU again."""
        self.task, self.asked = None, False

    def vacated(self, slots: Sequence[Slot]) -> list[Slot]:
        """Return the actors that are to end now."""
        if self.task is None and self._waiting:
            self.task, place = self._waiting.popleft()
            for slot in slots:
                if slot.place is None or slot.same_gpu(place):
                    slot.room = self.task
        return [slot for slot in slots if slot.room is not None and slot.task is None]

    def ready(self, slots: Sequence[Slot]) -> Task | None:
        """Return the trial, once, as soon as its GPU is empty."""
        if self.task is None or self.asked or any(slot.room for slot in slots):
            return None
        self.asked = True
        return self.task

"""The actors of a sweep: asked for, greeted, given tasks, ended."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any

from autocompress.errors import ExecutorError
from autocompress.executors.ray.actor import Worker
from autocompress.executors.ray.alone import Room
from autocompress.executors.ray.cluster import Cluster
from autocompress.executors.ray.files import Courier
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.slot import Slot
from autocompress.executors.ray.tasks import Task

_LEAVE = 3.0
"""Seconds for actors to be told to leave."""
_MOST_STILLBORN = 5
"""How many workers in a row may die before they come up."""


class Crew:
    """Slots and the room on GPUs; they stay from task to task.

    Args:
        cluster: Where actors come up; which of its nodes, and when, is Ray's business.
        settings: What each is given.
        courier: Knows what they have to see.
        arguments: What each :class:`~autocompress.executors.ray.actor.Worker` is made with.

    Attributes:
        size: Most of those that run trials.
        slots: All of them.
        room: Who has a GPU alone.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: RaySettings,
        courier: Courier,
        arguments: tuple[Any, ...],
    ) -> None:
        self.size = settings.max_concurrent or cluster.places(settings)
        self.slots: list[Slot] = []
        self.room = Room()
        self._ray = cluster.ray
        self._settings = settings
        self._courier = courier
        self._arguments = arguments
        self._class = self._ray.remote(Worker)
        self._stillborn = 0

    def fill(self) -> None:
        """Ask for all that run trials."""
        while len(self.slots) < self.size:
            self._new("trial")

    def assign(self, waiting: deque[Task]) -> list[tuple[Slot, Task]]:
        """Return waiting tasks with the free actors for them; ask for as many more as are of use.

        Args:
            waiting: Tasks without a worker; those returned are taken out.
        """
        found = []
        for slot in self.slots:
            if not slot.free or not waiting:
                continue
            task = next((t for t in waiting if t.kind == slot.kind), None)
            if task is not None:
                waiting.remove(task)
                found.append((slot, task))
        most_of = {"trial": self.size, "timer": 1, "alone": 1}
        if self.room.task is not None and not any(
            s.kind == "alone" and s.place for s in self.slots
        ):
            most_of["trial"] = 0  # none that would take a part of the emptied GPU
        for kind, most in most_of.items():
            wanted = sum(task.kind == kind for task in waiting)
            there = [s for s in self.slots if s.kind == kind and s.room is None]
            coming = sum(s.place is None for s in there)
            for _ in range(min(most - len(there), wanted - coming)):
                self._new(kind)
        return found

    def _new(self, kind: str) -> None:
        settings = self._settings
        gpus = settings.gpus_per_trial
        options: dict[str, Any] = {"num_cpus": settings.cpus_per_trial, "num_gpus": gpus}
        if kind == "alone":
            options["num_gpus"] = 1
        elif kind == "timer":
            options = {"num_cpus": 0, "num_gpus": gpus, "resources": {settings.latency_on: 1}}
        actor = self._class.options(max_concurrency=4, **options).remote(*self._arguments)
        self._courier.show()
        reply = actor.hello.remote(str(self._courier.probe))
        self.slots.append(Slot(kind, actor, reply=reply))

    def greet(self, slot: Slot, place: dict[str, Any]) -> None:
        """Take in an actor that has come up.

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
        slot.place, slot.reply = place, None
        self._stillborn = 0

    def not_born(self, error: Exception) -> None:
        """Note that an actor died before it came up.

        Raises:
            ExecutorError: none ever will.
        """
        self._stillborn += 1
        dead = isinstance(error, self._ray.exceptions.RayActorError)
        failed = getattr(error, "actor_init_failed", False)
        if self._stillborn > _MOST_STILLBORN or not dead or failed:
            raise ExecutorError(
                f"workers cannot start on the cluster: {last_line(error)}; is autocompress "
                f"installed on all nodes, in the same version?"
            ) from error

    def vacate(self) -> Task | None:
        """End actors whose GPU is wanted; return the task for it once it is empty."""
        for slot in self.room.vacated(self.slots):
            self.retire(slot)
        return self.room.ready(self.slots)

    def retire(self, slot: Slot) -> None:
        """End an actor at once, whatever it is doing; take its room, if it had one, back."""
        with contextlib.suppress(Exception):  # it, its node or the whole cluster is gone already
            self._ray.kill(slot.actor, no_restart=True)
        with contextlib.suppress(ValueError):
            self.slots.remove(slot)

    def note_stacks(self, slots: list[Slot], seconds: float) -> None:
        """Have actors write where they stand into their jobs' logs; wait so long at most."""
        asked = [slot.actor.note_stack.remote() for slot in slots]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=seconds)

    def late(self, timeout: float | None) -> list[Slot]:
        """Return those whose task takes longer than so many seconds."""
        if timeout is None:
            return []
        begun = time.monotonic() - timeout
        return [slot for slot in self.slots if slot.task is not None and slot.since < begun]

    def close(self) -> None:
        """End all."""
        for slot in list(self.slots):
            self.retire(slot)

    def dismiss(self) -> None:
        """Have all end by themselves: without a head they would go on for a minute.

        Meanwhile the sweep may have been resumed elsewhere.
        """
        asked = [slot.actor.leave.remote() for slot in self.slots if slot.place is not None]
        self.slots.clear()
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=_LEAVE)


def last_line(error: Exception) -> str:
    """Return the last line of what Ray says, which is the one that tells why, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]

"""Between the driver and Ray Tune's thread: runs that wait, what is said of them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass, field

from autocompress.executors.ray.run import Run
from autocompress.executors.ray.worker import HEARD, Message


@dataclass(eq=False)
class Note:
    """Something that was said of a run.

    Attributes:
        run: The run; None for what ends all.
        message: What was said; ``lost`` holds why a worker is gone, ``fatal`` why all are.
        heard: Set once the driver has dealt with it.
    """

    run: Run | None
    message: Message
    heard: threading.Event = field(default_factory=threading.Event)


class Desk:
    """Where runs are left for Tune, and notes for the driver; both sides may call at any time.

    Attributes:
        waiting: Runs for Tune to begin, in order.
        runs: Those that Tune has begun, by its own trials' names.
        closed: Whether all is to end.
    """

    def __init__(self) -> None:
        self.waiting: deque[Run] = deque()
        self.runs: dict[str, Run] = {}
        self._brought = threading.Event()
        self.closed = False
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._given: list[Note] = []

    def __reduce__(self) -> tuple[type[Desk], tuple[()]]:
        return Desk, ()  # Tune writes down what it was given, and nobody reads it

    def bring(self, run: Run) -> None:
        """Leave a run for Tune."""
        self.waiting.append(run)
        self._brought.set()

    def await_run(self, seconds: float) -> None:
        """Wait until there is one, for so many seconds at most."""
        self._brought.clear()
        if not self.waiting and not self.closed:
            self._brought.wait(seconds)

    def say(self, run: Run | None, message: Message, *, wait: bool = False) -> None:
        """Leave a note, and wait until the driver has dealt with it if asked to."""
        note = Note(run, message)
        self._notes.put(note)
        if wait:
            note.heard.wait(HEARD)

    def read(self, timeout: float) -> list[Note]:
        """Return the notes left since; those of the last call have been dealt with.

        Args:
            timeout: Seconds to wait for a first one.
        """
        for note in self._given:
            note.heard.set()
        self._given = []
        while True:
            try:
                note = self._notes.get(timeout=timeout) if timeout else self._notes.get_nowait()
            except queue.Empty:
                return list(self._given)
            self._given.append(note)
            timeout = 0.0

    def close(self) -> None:
        """Let go of who waits."""
        self.closed = True
        self._brought.set()
        self.read(0.0)  # what was left
        self.read(0.0)  # has been dealt with

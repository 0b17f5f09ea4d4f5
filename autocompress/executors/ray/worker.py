"""What runs on a node: one worker, trial after trial.

Nothing heavy is imported here: what trials need, torch above all, comes with the work.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import cloudpickle

from autocompress.errors import ExecutorError
from autocompress.executors.ray.head import Head

Message = dict[str, Any]
"""``place``, ``step``, or one that ends a job: ``result``, ``metrics``, ``broken``, ``fatal``."""
HEARD = 60.0
"""Seconds to wait at most for the driver to have heard of a step."""
_LOOK = 2.0
"""Seconds between two looks for the head."""


class Work(Protocol):
    """What a worker does with jobs: :class:`~autocompress.executors.ray.work.Trials`, mostly."""

    def run(
        self, job: dict[str, Any], name: str, on_step: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Run a job.

        Args:
            job: Its JSON form.
            name: Its folder relative to the run.
            on_step: Called with each step's record; returns whether the job is to end there.

        Returns:
            The result's JSON form.
        """

    def measure(self, job: dict[str, Any], name: str, metrics: tuple[str, ...]) -> dict[str, Any]:
        """Measure the model that a job left; return ``metrics`` and ``hardware``."""

    def note(self, text: str) -> None:
        """Add to the log of the job that runs now, if any."""


class Worker:
    """Makes itself ready once, and runs jobs in a thread while others hear of them.

    Args:
        load: What to do with jobs, as :func:`cloudpickle.dumps` wrote it: a function without
            arguments that returns a :class:`Work`.
        waits: Whether to wait after each step until the driver has heard of it.
        probe: A file of the driver's that is to be seen here; None if none has to be.
        limit: Seconds after which a job is about to be ended for being late; it then writes where
            it stands into its log. None for no limit.
    """

    def __init__(self, load: bytes, waits: bool, probe: str | None, limit: float | None) -> None:
        self._waits = waits
        self._probe = probe
        self._limit = limit
        self._changed = threading.Condition()
        self._news: list[Message] = []
        self._told = self._handed = self._heard = 0  # messages so far
        self._stopped: set[int] = set()
        self._failure = ""
        self._work: Work
        try:
            self._work = cloudpickle.loads(load)()
        except Exception as error:  # whatever a user's class raises when it is put together again
            self._failure = f"{type(error).__name__}: {error}"

    def begin(self, job: dict[str, Any], name: str, measured: tuple[str, ...] | None) -> None:
        """Begin a job; if that cannot be done here, ``place`` tells why.

        Args:
            job: The job's JSON form.
            name: Its folder relative to the run.
            measured: None to run it; otherwise what to measure of the model that it left.
        """
        place = self._place()
        self._tell(place=place)
        if place["sees"] and not place["failure"]:
            thread = threading.Thread(target=self._do, args=(job, name, measured), daemon=True)
            thread.start()

    def news(self) -> list[Message]:
        """Wait for something to happen, and return what did."""
        with self._changed:
            self._heard = self._handed  # who asks again has dealt with all that was told before
            self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._news))
            messages, self._news = self._news, []
            self._handed += len(messages)
        return messages

    def stop(self, number: int) -> None:
        """Have a job end after its current step."""
        self._stopped.add(number)

    def _place(self) -> dict[str, Any]:
        """Say where this worker is and whether it can work."""
        import ray

        here = ray.get_runtime_context()
        return {
            "node": here.get_node_id(),
            "gpus": here.get_accelerator_ids().get("GPU", []),
            "host": os.uname().nodename if hasattr(os, "uname") else "",
            "process": os.getpid(),
            "failure": self._failure,
            "sees": self._probe is None or os.path.exists(self._probe),
        }

    def _note_stack(self, thread: threading.Thread) -> None:
        """Write where the job stands into its log."""
        frame = sys._current_frames().get(thread.ident or 0)
        lines = ["Job (most recent call first):"]  # as faulthandler writes it
        while frame is not None:
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}')
            frame = frame.f_back
        self._work.note("\n".join(lines))

    def _tell(self, wait: bool = False, **message: Any) -> None:
        """Have the driver told of something; wait until it has heard of it if asked to."""
        with self._changed:
            self._news.append(message)
            self._told += 1
            told = self._told
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: self._heard >= told, timeout=HEARD)

    def _do(self, job: dict[str, Any], name: str, measured: tuple[str, ...] | None) -> None:
        number = job["number"]

        def on_step(step: dict[str, Any]) -> bool:
            self._tell(wait=self._waits, step=step)
            return number in self._stopped

        alarm = threading.Timer(self._limit or 0, self._note_stack, [threading.current_thread()])
        if self._limit is not None:
            alarm.daemon = True
            alarm.start()
        try:
            if measured is not None:
                self._tell(**self._work.measure(job, name, measured))
                return
            result = self._work.run(job, name, on_step)
            self._stopped.discard(number)
            self._tell(result=result)
        except ExecutorError as error:  # a full disk, a storage out of reach: none could run here
            self._tell(fatal=str(error))
        except Exception as error:  # a job turns its exceptions into statuses: this is a bug
            self._tell(broken=f"{type(error).__name__}: {error}")
        finally:
            alarm.cancel()


def end_without(head: str) -> None:
    """End this process once the cluster's head is gone: nobody else would, for a minute.

    Meanwhile the sweep may have been resumed elsewhere.

    Args:
        head: Its ``HOST:PORT``.
    """

    def watch() -> None:
        place = Head(head)
        try:
            while True:
                place.check()
                time.sleep(_LOOK)
        except ExecutorError:
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()

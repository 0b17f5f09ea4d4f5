"""What runs inside a worker process of the local executor."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

import torch

from autocompress.errors import AutocompressError, ExecutorError
from autocompress.executors.output import output_to
from autocompress.executors.shipping import unpack
from autocompress.explore.trial import LOG, Job, RunJob, TrialContext, unwritable
from autocompress.lc import StepRecord

_HEARD = 10.0
"""Seconds to wait at most for the driver to have heard of a step."""


class _Worker:
    """The one worker of this process: its context, and its line to the driver."""

    def __init__(
        self, context: TrialContext, link: Connection, run: RunJob, *, waits: bool
    ) -> None:
        self.context = context
        self.link = link
        self.run = run
        self.waits = waits

    def send(self, **message: Any) -> None:
        """Tell the driver something; without a driver there is nothing left to work for."""
        try:
            self.link.send_bytes(json.dumps(message).encode())
        except OSError:
            os._exit(1)

    def wait(self, step: int) -> None:
        """Wait until the driver has heard of a step, so that a stop takes effect right there."""
        deadline = time.monotonic() + _HEARD
        try:
            while self.link.poll(max(0.0, deadline - time.monotonic())):
                if int(self.link.recv_bytes()) == step:
                    return
        except (OSError, EOFError):
            os._exit(1)

    def work(self, job: Job, ticket: int) -> None:
        """Run a job, telling the driver of its begin, its steps and its result."""
        whose = {"ticket": ticket, "number": job.number}
        self.send(**whose, process=os.getpid())

        def on_step(record: StepRecord) -> None:
            self.send(**whose, step=asdict(record))
            if self.waits:
                self.wait(record.step)

        try:
            with output_to(Path(job.folder) / LOG, on_term=True):
                result = self.run(job, self.context, on_step)
        except OSError as error:  # of the log: a job turns its own exceptions into statuses
            raise unwritable(job, error) from None
        self.send(**whose, result=result.to_dict())


_worker: _Worker | None = None
_failure = "its initializer did not run"


def initialize(
    payload: bytes, address: Any, authkey: bytes, threads: int, waits: bool = False
) -> None:
    """Prepare this process for jobs; called once, when it starts.

    What goes wrong with the context is kept for the first job to tell: a pool only knows that an
    initializer failed, not why.
    """
    global _worker, _failure
    _watch_parent()
    if hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(threads)
    try:
        context, run = unpack(payload)
        _worker = _Worker(context, Client(address, authkey=authkey), run, waits=waits)
    except AutocompressError as error:
        _failure = str(error)
    except Exception as error:  # whatever a user's class raises when it is put together again
        _failure = f"{type(error).__name__}: {error}"


def run_batch(jobs: Sequence[dict[str, Any]], ticket: int) -> None:
    """Run a batch of jobs, one after the other; results go over the line as they come.

    Args:
        jobs: The jobs' JSON form.
        ticket: What every message about them carries.

    Raises:
        ExecutorError: this process could not be prepared.
    """
    if _worker is None:
        raise ExecutorError(
            f"a worker process cannot load the model and the data: {_failure}; make them "
            f"importable there, or run the trials in this process with jobs=0"
        )
    for job in jobs:
        _worker.work(Job(**job), ticket)


def _watch_parent() -> None:
    """End this process as soon as the driver is gone, however it went.

    Otherwise a worker would go on writing into trials that a resumed sweep is running again.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="autocompress-parent-watch", daemon=True).start()

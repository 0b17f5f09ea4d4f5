"""What runs inside a Ray actor: one worker, trial after trial."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autocompress.compressed import load
from autocompress.errors import ExecutorError
from autocompress.executors.ray.storage import LEFT, ON_THE_WAY, START, Storage
from autocompress.executors.shipping import unpack
from autocompress.explore.trial import LOG, MODEL, Job, TrialContext, request_stop
from autocompress.lc import StepRecord
from autocompress.metrics import fingerprint

Message = dict[str, Any]
"""One of ``step``, ``result``, ``metrics``, ``broken`` and ``fatal``."""
_HEARD = 60.0
"""Seconds to wait at most for the driver to have heard of a step."""


class Worker:
    """Loads the context once and runs jobs in a thread, while other calls tell of them.

    Args:
        payload: What :func:`autocompress.executors.shipping.pack` returned.
        threads: Threads of the numerical libraries.
        waits: Whether to wait after each step until the driver has heard of it.
        gpu: Whether it was given a GPU or a part of one.
        storage: Where states and files go; None where the driver's folders are seen here.
    """

    def __init__(
        self, payload: bytes, threads: int, waits: bool, gpu: bool, storage: Storage | None
    ) -> None:
        torch.set_num_threads(threads)
        self._waits = waits
        self._storage = storage
        self._scratch: Path | None = None
        self._saved: dict[Path, int] = {}  # when files were written that are stored
        self._changed = threading.Condition()
        self._news: list[Message] = []
        self._told = self._handed = self._heard = 0  # messages so far
        self._stopped: set[int] = set()
        self._failure = ""
        self._context: TrialContext
        device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        try:
            self._context, self._run = unpack(payload, device)
        except Exception as error:  # whatever a user's class raises when it is put together again
            self._failure = f"{type(error).__name__}: {error}"

    def hello(self, probe: str) -> dict[str, Any]:
        """Say where this worker is and whether it can work.

        Args:
            probe: A file of the driver's; whether it is seen here is told as ``sees``.
        """
        import ray

        here = ray.get_runtime_context()
        return {
            "node": here.get_node_id(),
            "gpus": here.get_accelerator_ids().get("GPU", []),
            "host": os.uname().nodename if hasattr(os, "uname") else "",
            "process": os.getpid(),
            "failure": self._failure,
            "sees": self._storage is not None or os.path.exists(probe),
        }

    def begin(self, values: dict[str, Any], name: str, measured: tuple[str, ...] | None) -> None:
        """Begin a job.

        Args:
            values: The job's JSON form.
            name: Its folder relative to the run.
            measured: None to run it; otherwise what to measure of the model that it left.
        """
        job = Job(**values)
        work = self._measure if measured is not None else self._work
        arguments = (job, name, measured or ())
        threading.Thread(target=self._guard, args=(work, arguments), daemon=True).start()

    def news(self, stop: int | None) -> list[Message]:
        """Wait for something to happen, and return what did.

        Args:
            stop: Number of a job that is to end after its current step, if any.
        """
        with self._changed:
            if stop is not None:
                self._stopped.add(stop)
            self._heard = self._handed  # who asks again has dealt with all that was told before
            self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._news))
            messages, self._news = self._news, []
            self._handed += len(messages)
        return messages

    def stop(self, number: int) -> None:
        """Have a job end after its current step."""
        self._stopped.add(number)

    def _tell(self, wait: bool = False, **message: Any) -> None:
        """Have the driver told of something; wait until it has heard of it if asked to."""
        with self._changed:
            self._news.append(message)
            self._told += 1
            told = self._told
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: self._heard >= told, timeout=_HEARD)

    def _guard(self, work: Any, arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments)
        except ExecutorError as error:  # a full disk, a storage out of reach: none could run here
            self._tell(fatal=str(error))
        except Exception as error:  # a job turns its exceptions into statuses: this is a bug
            self._tell(broken=f"{type(error).__name__}: {error}")

    def _work(self, job: Job, name: str, measured: tuple[str, ...]) -> None:
        job = self._fetch(job, name)
        folder = Path(job.folder)

        def on_step(record: StepRecord) -> None:
            self._save(folder, name, ON_THE_WAY)
            self._tell(wait=self._waits, step=asdict(record))
            if job.number in self._stopped:
                request_stop(folder)

        with _output_to(folder / LOG):
            result = self._run(job, self._context, on_step)
        self._save(folder, name, LEFT)
        self._leave()
        self._stopped.discard(job.number)
        self._tell(result=result.to_dict())

    def _measure(self, job: Job, name: str, measured: tuple[str, ...]) -> None:
        folder = Path(job.folder)
        if self._storage is not None:
            folder = self._new_scratch()
            self._storage.get(f"{name}/{MODEL}", folder / MODEL)
        compressed = load(folder / MODEL, self._context.model)
        metrics = self._context.measure(measured, compressed)
        self._leave()
        device = self._context.data.device
        self._tell(metrics=metrics, hardware=fingerprint(device))

    def _fetch(self, job: Job, name: str) -> Job:
        """Bring what the trial needs to this node."""
        if self._storage is None:
            return job
        folder = self._new_scratch()
        for file in ON_THE_WAY:
            self._storage.get(f"{name}/{file}", folder / file)
        warm = job.warm
        if warm is not None and self._storage.get(f"{name}/{START}", folder / START):
            warm = str(folder / START)
        return dataclasses.replace(job, folder=str(folder), warm=warm)

    def _new_scratch(self) -> Path:
        self._scratch = Path(tempfile.mkdtemp(prefix="autocompress-"))
        return self._scratch

    def _save(self, folder: Path, name: str, files: tuple[str, ...]) -> None:
        if self._storage is None:
            return
        for file in files:
            path = folder / file
            written = path.stat().st_mtime_ns if path.exists() else None
            if written is not None and written != self._saved.get(path):
                self._storage.put(path, f"{name}/{file}")
                self._saved[path] = written

    def _leave(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._saved.clear()
            self._scratch = None


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what the model prints or warns of to the trial's log, not over the driver's display."""
    with (
        open(log, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield

"""The trials of a Ray worker: model and data, the job, its files on their way."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autocompress.compressed import load
from autocompress.executors.output import output_to
from autocompress.executors.ray.storage import LEFT, ON_THE_WAY, START, Storage
from autocompress.executors.shipping import unpack
from autocompress.explore.trial import LOG, MODEL, Job, TrialContext, request_stop, unwritable
from autocompress.lc import StepRecord
from autocompress.metrics import fingerprint


class Trials:
    """Loads the context and runs jobs with it; a :class:`~autocompress.executors.ray.actor.Work`.

    Args:
        payload: What :func:`autocompress.executors.shipping.pack` returned.
        threads: Threads of the numerical libraries.
        gpu: Whether the worker was given a GPU or a part of one.
        storage: Where states and files go; None where the driver's folders are seen here.
    """

    def __init__(self, payload: bytes, threads: int, gpu: bool, storage: Storage | None) -> None:
        torch.set_num_threads(threads)
        self._storage = storage
        self._scratch: Path | None = None
        self._saved: dict[Path, int] = {}  # when files were written that are stored
        self._now: tuple[Path, str] | None = None
        self._context: TrialContext
        device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        self._context, self._run = unpack(payload, device)

    def run(
        self, values: dict[str, Any], name: str, on_step: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Run a job where it is seen here, or in a folder of this node's own."""
        job = self._fetch(Job(**values), name)
        folder = Path(job.folder)
        self._now = (folder, name)

        def step(record: StepRecord) -> None:
            self._save(folder, name, ON_THE_WAY)
            if on_step(asdict(record)):
                request_stop(folder)

        try:
            with output_to(folder / LOG, afterwards=sys.__stderr__):  # where Ray has it
                result = self._run(job, self._context, step)
        except OSError as error:  # of the log: a job turns its own exceptions into statuses
            raise unwritable(job, error) from None
        finally:
            self._now = None
        self._save(folder, name, LEFT)
        self._leave()
        return result.to_dict()

    def measure(
        self, values: dict[str, Any], name: str, metrics: tuple[str, ...]
    ) -> dict[str, Any]:
        """Measure the model that a job left."""
        folder = Path(values["folder"])
        if self._storage is not None:
            folder = self._new_scratch()
            self._storage.get(f"{name}/{MODEL}", folder / MODEL)
        compressed = load(folder / MODEL, self._context.model)
        measured = self._context.measure(metrics, compressed)
        self._leave()
        return {"metrics": measured, "hardware": fingerprint(self._context.data.device)}

    def note(self, text: str) -> None:
        """Add to the log of the job that runs now."""
        if self._now is not None:
            folder, name = self._now
            with open(folder / LOG, "a", encoding="utf-8") as file:
                file.write(f"{text}\n")
            self._save(folder, name, (LOG,))

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

"""Trials' files on their way between the driver's folder and the nodes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from autocompress.executors.ray.storage import LEFT, ON_THE_WAY, START, Storage
from autocompress.explore.trial import Job


class Courier:
    """Takes files through the storage; where all nodes see the run's folder there is nothing to do.

    Args:
        run: The run's folder.
        storage: Where files pass; None where all nodes see the run's folder.

    Attributes:
        probe: A file that a worker must see which is to see the run's folder.
    """

    def __init__(self, run: Path, storage: Storage | None) -> None:
        self.run = run.resolve()
        self.probe = self.run / f".seen-{secrets.token_hex(4)}"
        self._storage = storage

    def name(self, folder: str) -> str:
        """Return a job's folder relative to the run, as storages name it."""
        return os.path.relpath(folder, self.run).replace(os.sep, "/")

    def send(self, job: Job, name: str) -> None:
        """Put what the trial goes on from, and starts from, where all nodes reach it."""
        if self._storage is None:
            return
        folder = Path(job.folder)
        for file in ON_THE_WAY:
            if (folder / file).exists():
                self._storage.put(folder / file, f"{name}/{file}")
        if job.warm is not None and Path(job.warm).exists():
            self._storage.put(Path(job.warm), f"{name}/{START}")

    def bring(self, job: Job, name: str) -> None:
        """Bring home what the trial left."""
        if self._storage is None:
            return
        for file in LEFT:
            self._storage.get(f"{name}/{file}", Path(job.folder) / file)
        self._storage.remove(name)

    def show(self) -> None:
        """Make the probe."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.probe.touch()

    def close(self) -> None:
        """Remove the probe."""
        self.probe.unlink(missing_ok=True)

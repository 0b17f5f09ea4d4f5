"""A Ray executor for a run, and what another executor left in a storage."""

from __future__ import annotations

import math
import os
import secrets
from pathlib import Path

from autocompress.executors.ray.executor import RayExecutor
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.storage import Storage
from autocompress.explore.study import Study
from autocompress.explore.trial import TrialContext

NOTE = "storage"
"""Where the study remembers the storage that its trials last passed through."""


def take_home(study: Study) -> list[str]:
    """Move the states of trials that were interrupted on a cluster into the run's folder.

    Whoever goes on with the run does this first, whatever its executor: afterwards the run's folder
    holds all there is.

    Args:
        study: The run's study.

    Returns:
        The folders of these trials, relative to the run.

    Raises:
        ExecutorError: the storage cannot be reached.
    """
    note = study.note(NOTE)
    return [] if note is None else Storage(note["uri"], note["name"]).reclaim(study.path)


def open_storage(study: Study, uri: str) -> Storage:
    """Return the storage for a run's trials, and have the study remember it.

    Raises:
        ConfigError, ExecutorError: it cannot be used.
    """
    note = study.note(NOTE) or {}
    name = note.get("name") or f"{Path(study.path).resolve().name}-{secrets.token_hex(4)}"
    uri = uri if "://" in uri else os.path.abspath(uri)
    storage = Storage(uri, name)
    study.set_note(NOTE, {"uri": uri, "name": name})
    return storage


def make_executor(
    context: TrialContext,
    study: Study,
    settings: RaySettings,
    *,
    jobs: int,
    threads: int,
    timeout: float | None,
    waits: bool,
) -> RayExecutor:
    """Return the executor of a run.

    Args:
        context: What all trials share.
        study: The run's study.
        settings: The cluster, and what each trial is given.
        jobs: Trials at a time on a Ray of this machine's own, if the settings do not say.
        threads: Threads of each worker.
        timeout: Seconds a trial may take; None for no limit.
        waits: Whether workers wait after each step until it was heard of.

    Raises:
        MissingExtra, ConfigError, ExecutorError: see :class:`RayExecutor`.
    """
    local = None
    if settings.address is None:
        most = settings.max_concurrent or max(1, jobs)
        settings = settings.model_copy(update={"max_concurrent": most})
        local = max(os.cpu_count() or 1, math.ceil(most * settings.cpus_per_trial))
    storage = None
    if settings.storage_path is not None:
        storage = open_storage(study, settings.storage_path)
    return RayExecutor(
        context,
        Path(study.path),
        settings,
        storage=storage,
        threads=threads,
        timeout=timeout,
        waits=waits,
        local=local,
    )

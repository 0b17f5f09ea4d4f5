"""Where the trials of a sweep run: this process, worker processes, actors on a cluster."""

from __future__ import annotations

from collections.abc import Callable

from autocompress.config import Sweep
from autocompress.consent import may_fetch
from autocompress.executors import Executor
from autocompress.executors.local import LocalExecutor
from autocompress.executors.serial import SerialExecutor
from autocompress.explore.study import Study
from autocompress.explore.trial import TrialContext
from autocompress.runs import RunFolder

_STORAGE = "storage"  # the study's note of where states of interrupted trials lie


def make_executor(
    sweep: Sweep, context: TrialContext, study: Study | None, say: Callable[[str], None]
) -> Executor:
    """Return where trials run.

    Args:
        sweep: Says where.
        context: What the trials share.
        study: Whose trials they are; on a cluster run only those of a study.
        say: Told what takes a while.
    """
    waits = sweep.halving is not None
    if sweep.executor == "ray" and study is not None:
        from autocompress.executors.ray.make import make_executor as make_ray_executor

        address = sweep.ray.address
        say(f"connecting to Ray at {address}" if address else "starting Ray")
        return make_ray_executor(
            context,
            study,
            sweep.ray.model_copy(update={"storage_path": sweep.ray.storage_path or None}),
            jobs=sweep.jobs,
            threads=sweep.threads,
            timeout=sweep.timeout,
            waits=waits,
        )
    if sweep.jobs == 0:
        return SerialExecutor(context)
    return LocalExecutor(
        context, workers=sweep.jobs, threads=sweep.threads, timeout=sweep.timeout, waits=waits
    )


def take_home(sweep: Sweep, run: RunFolder, study: Study, say: Callable[[str], None]) -> None:
    """Fetch what trials that were interrupted on a cluster left in its storage.

    Args:
        sweep: Says whether the storage may be asked.
        run: Where to.
        study: Knows of the storage, and forgets it: then all is here, until trials go through one
            again.
        say: Told what takes a while.

    Raises:
        RunError: the study names a storage, and the user does not.
    """
    note = study.note(_STORAGE)
    if may_fetch(note, sweep.ray.storage_path, run.path):
        from autocompress.executors.ray.make import take_home as fetch

        say("fetching the states of interrupted trials")
        fetch(study)
    if note is not None:
        study.set_note(_STORAGE, None)

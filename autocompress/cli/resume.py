"""``autocompress resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from autocompress.cli.ending import end, observer
from autocompress.cli.guard import guarded, interruptible
from autocompress.cli.options import (
    Address,
    Allow,
    Cpus,
    Executor,
    Gpus,
    MaxConcurrent,
    Quiet,
    Run,
    Storage,
    StoragePath,
)


@guarded
def resume(
    run: Run,
    trials: Annotated[
        int | None, typer.Option(help="Another number of trials in all, to extend a sweep.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Another number of trials at a time.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Another limit on a trial's seconds.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Another number of seeds for the trials on and near the front."),
    ] = None,
    executor: Executor = None,
    address: Address = None,
    cpus_per_trial: Cpus = None,
    gpus_per_trial: Gpus = None,
    max_concurrent: MaxConcurrent = None,
    storage_path: StoragePath = None,
    storage: Storage = None,
    data_root: Annotated[
        str | None, typer.Option(help="Folder the data's files are in now.", show_default=False)
    ] = None,
    allow: Allow = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a sweep after Ctrl-C, a crash or a reboot; nothing done is lost or repeated.

    A run may come from somebody else: code that it would import, and the address of a cluster, the
    storage or the database that it would connect to, have to be named again.

    **Examples**

    * autocompress resume runs/mnist
    * autocompress resume runs/mnist --trials 200
    * autocompress resume runs/mnist --executor ray --address auto --gpus-per-trial 0.25
    """
    from autocompress.going_on import resume_command
    from autocompress.sweep import resume as go_on

    cluster = {
        "address": address,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent,
        "storage_path": storage_path,
    }
    again = {
        "executor": executor,
        "ray.address": address,
        "ray.storage_path": storage_path,
        "storage": storage,
    }
    with interruptible(resume_command(run, again, allow or ()), lambda: True):
        study = go_on(
            run,
            trials=trials,
            jobs=jobs,
            timeout=timeout,
            repeats=repeats,
            executor=executor,
            ray={key: value for key, value in cluster.items() if value is not None},
            storage=storage,
            data_root=data_root,
            allow=allow or (),
            observer=observer(quiet),
        )
        end(study)

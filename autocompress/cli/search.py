"""``autocompress search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from autocompress.cli.ending import end, observer
from autocompress.cli.guard import guarded, interruptible
from autocompress.cli.options import (
    Address,
    Allow,
    Cpus,
    Database,
    Executor,
    Gpus,
    MaxConcurrent,
    Quiet,
    StoragePath,
    pairs_of,
    yaml_value,
)


@guarded
def search(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="SWEEP.yaml",
            help="A sweep written down: every option below is a key of the same name.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="autocompress list models, torchvision:NAME or module:factory \\[digits-cnn]"
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="autocompress list data \\[digits]")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder the data's files are in.")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="What is searched: autocompress list spaces, or a YAML file \\[mixed]"),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(help="autocompress list objectives, or a YAML file \\[accuracy-size]"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC>=VALUE",
            help="What must be reached, such as accuracy>=ref-1%: search for the smallest "
            "model that does instead of for a front.",
            show_default=False,
        ),
    ] = None,
    minimize: Annotated[
        str | None,
        typer.Option(help="With --target: the metric to make small \\[bytes]", show_default=False),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all \\[24, or 10 with --target]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Trials at a time, each in a process of its own; 0 runs them in this "
            "one, to debug \\[cores, at most 2]"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the search and its trials \\[0]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run \\[runs/DATA-TIME]")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="auto, guided, tpe, nsga2, nsga3, gp, random or qmc \\[auto]")
    ] = None,
    halving: Annotated[
        bool | None,
        typer.Option(
            "--halving/--no-halving",
            help="Stop trials that fall behind others; --set halving.eta=4 says when "
            "\\[no-halving]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a trial may take.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each trial \\[1]")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or auto \\[auto]")] = None,
    executor: Executor = None,
    address: Address = None,
    cpus_per_trial: Cpus = None,
    gpus_per_trial: Gpus = None,
    max_concurrent: MaxConcurrent = None,
    storage_path: StoragePath = None,
    storage: Database = None,
    continuation: Annotated[
        bool | None,
        typer.Option(
            "--continuation/--no-continuation",
            help="Start a trial from the end of a finished one with a plan alike \\[no]",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Seeds in all for the trials on and near the front, in the end \\[none]"),
    ] = None,
    seed_plan: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A plan of your own to try first, as for compress. May be repeated.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="A hard limit, such as bytes=20KB: what breaks "
            "it is rejected, before any training if possible. May be repeated.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of a sweep, dotted, with a value "
            "in YAML: latency.threads=1. May be repeated.",
        ),
    ] = None,
    allow: Allow = None,
    quiet: Quiet = False,
) -> None:
    """Search a model's compressions for the Pareto front: train, compress, measure, report.

    Without options: a small network on handwritten digits, in a few minutes. Everything goes into
    one folder, where an interrupted sweep also goes on.

    **Examples**

    * autocompress search
    * autocompress search --model lenet300 --data mnist --data-root DIR --trials 60 --out runs/mnist
    * autocompress search --space quantize --limit bytes=10KB
    * autocompress search --target "accuracy>=ref-0.5%" --minimize bytes
    * autocompress search sweep.yaml --set seed=1 --out runs/again
    """
    flags = {
        "model": model,
        "data": data,
        "data_root": data_root,
        "space": space,
        "objectives": objectives,
        "target": target,
        "minimize": minimize,
        "trials": trials,
        "jobs": jobs,
        "seed": seed,
        "out": out,
        "sampler": sampler,
        "halving": halving,
        "timeout": timeout,
        "threads": threads,
        "device": device,
        "executor": executor,
        "ray.address": address,
        "ray.cpus_per_trial": cpus_per_trial,
        "ray.gpus_per_trial": gpus_per_trial,
        "ray.max_concurrent": max_concurrent,
        "ray.storage_path": storage_path,
        "storage": storage,
        "continuation": continuation,
        "repeats": repeats,
        "seeds": [str(path) for path in seed_plan or ()] or None,
    }
    changes: dict[str, Any] = {key: value for key, value in flags.items() if value is not None}
    changes |= {f"limits.{key}": value for key, value in pairs_of(limit or (), "--limit")}
    changes |= {key: yaml_value(text, key) for key, text in pairs_of(set_ or (), "--set")}

    from autocompress.config import Sweep
    from autocompress.consent import read_sweep
    from autocompress.executors.ray.settings import check_used
    from autocompress.sweep import default_folder, how_to_resume
    from autocompress.sweep import search as run

    values = {} if file is None else read_sweep(file, changes, allow or ())
    sweep = Sweep.from_dict(values, changes, where="" if file is None else str(file))
    check_used(sweep.executor, [k.removeprefix("ray.") for k in changes if k.startswith("ray.")])
    folder = sweep.out or default_folder(sweep)
    sweep = sweep.model_copy(update={"out": folder})
    command = how_to_resume(folder, sweep)
    with interruptible(command, lambda: (folder / "sweep.yaml").exists()):
        end(run(sweep, observer=observer(quiet)))

"""``autocompress search`` and ``autocompress resume``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autocompress.cli.guard import guarded, interruptible
from autocompress.cli.inspect import Allow

if TYPE_CHECKING:
    from autocompress.explore.study import Study

Executor = Annotated[
    str | None,
    typer.Option(
        help="Where trials run: local, or ray for a cluster (pip install 'autocompress\\[ray]') "
        "\\[local]"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="With --executor ray: HOST:PORT of the cluster's head, or auto on one of its machines "
        "\\[a Ray of this machine's own]"
    ),
]
Cpus = Annotated[float | None, typer.Option(help="Ray: CPUs of each trial \\[1]")]
Gpus = Annotated[
    float | None,
    typer.Option(help="Ray: GPUs of each trial; a fraction has trials share one \\[0]"),
]
MaxConcurrent = Annotated[
    int | None, typer.Option(help="Ray: trials at a time \\[what the cluster holds]")
]
StoragePath = Annotated[
    str | None,
    typer.Option(
        help="Ray: folder or URI (s3://...) that all machines reach, where the run's folder is "
        "not seen by all."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]


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
            help="What must be reached, such as 'accuracy>=ref-0.5%': search for the smallest "
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
        typer.Option(help="Seeds in all for the trials on and near the front, in the end \\[1]"),
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
            "in YAML: latency.batch_size=8. May be repeated.",
        ),
    ] = None,
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
        "continuation": continuation,
        "repeats": repeats,
        "seeds": [str(path) for path in seed_plan or ()] or None,
    }
    changes: dict[str, Any] = {key: value for key, value in flags.items() if value is not None}
    changes |= {f"limits.{key}": value for key, value in _pairs(limit or (), "--limit")}
    changes |= {key: _value(text, key) for key, text in _pairs(set_ or (), "--set")}

    from autocompress.config import Sweep
    from autocompress.sweep import default_folder
    from autocompress.sweep import search as run

    sweep = Sweep.from_file(file, changes) if file is not None else Sweep.from_dict({}, changes)
    folder = sweep.out or default_folder(sweep)
    sweep = sweep.model_copy(update={"out": folder})
    with interruptible(folder, lambda: (folder / "sweep.yaml").exists()):
        _end(run(sweep, observer=_observer(quiet)))


@guarded
def resume(
    run: Annotated[Path, typer.Argument(help="The run's folder.", show_default=False)],
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
    allow: Allow = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a sweep after Ctrl-C, a crash or a reboot; nothing done is lost or repeated.

    **Examples**

    * autocompress resume runs/mnist
    * autocompress resume runs/mnist --trials 200
    * autocompress resume runs/mnist --executor ray --address auto --gpus-per-trial 0.25
    """
    from autocompress.sweep import resume as go_on

    cluster = {
        "address": address,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent,
        "storage_path": storage_path,
    }
    with interruptible(run, lambda: True):
        study = go_on(
            run,
            trials=trials,
            jobs=jobs,
            timeout=timeout,
            repeats=repeats,
            executor=executor,
            ray={key: value for key, value in cluster.items() if value is not None},
            allow=allow or (),
            observer=_observer(quiet),
        )
        _end(study)


def _end(study: Study) -> None:
    """Close a study; end with exit code 1 if it was searched for a target nothing reaches."""
    with study:
        found = study.found()
    if found is not None and not found:
        raise typer.Exit(1)


def _observer(quiet: bool) -> Any:
    from rich.console import Console

    from autocompress.display import observer

    return observer(Console(), quiet=quiet)


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    from autocompress.errors import ConfigError

    pairs = []
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"{option} {text}: expected KEY=VALUE")
        pairs.append((key.strip(), value.strip()))
    return pairs


def _value(text: str, key: str) -> Any:
    from autocompress import yamlio

    return yamlio.loads(text, where=f"--set {key}")

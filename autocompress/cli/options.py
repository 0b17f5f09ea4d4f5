"""What several commands take: where trials run, what is allowed, KEY=VALUE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from autocompress import outside


def _named(given: list[str] | None) -> list[str] | None:
    for name in given or ():
        if not outside.is_path(name):
            raise typer.BadParameter(f"{name!r} is not MODULE:NAME, such as mypackage.nets:resnet")
    return given


Run = Annotated[Path, typer.Argument(help="The run's folder.", show_default=False)]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:NAME",
        help="Code that the run names and that may be imported: your own. May be repeated.",
        callback=_named,
        show_default=False,
    ),
]
Executor = Annotated[
    str | None,
    typer.Option(
        help="Where trials run: local, or ray for a cluster (that is an extra to install, ray) "
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
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database for the study, PostgreSQL's for instance \\[study.db in the run's folder]",
        show_default=False,
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database that the run's study is in, if it is in one: postgresql://USER@HOST/NAME.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]


def pairs_of(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Split texts at their first ``=``.

    Raises:
        ConfigError: a text without one, or without a key, naming the option.
    """
    from autocompress.errors import ConfigError

    pairs = []
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"{option} {text}: expected KEY=VALUE")
        pairs.append((key.strip(), value.strip()))
    return pairs


def yaml_value(text: str, key: str) -> Any:
    """Return a value written in YAML, given for a key with ``--set``."""
    from autocompress import yamlio

    return yamlio.loads(text, where=f"--set {key}")

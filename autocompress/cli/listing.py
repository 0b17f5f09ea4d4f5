"""``autocompress list``: what there is to choose from."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Annotated

import typer

from autocompress.cli.guard import guarded

if TYPE_CHECKING:
    from autocompress.compression import Compression


class Kind(enum.StrEnum):
    """What can be listed."""

    MODELS = "models"
    DATA = "data"
    SCHEMES = "schemes"
    METRICS = "metrics"
    SPACES = "spaces"
    OBJECTIVES = "objectives"


@guarded
def list_known(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
) -> None:
    """List the models, data sets, schemes, metrics, search spaces or objectives there are.

    **Example**: autocompress list spaces
    """
    rows = _rows(kind)
    width = max(map(len, rows))
    for name, text in rows.items():
        first, *more = text.splitlines() or [""]
        typer.echo(f"{name:<{width}}  {first}")
        for line in more:
            typer.echo(f"{'':<{width}}  {line}")


def _rows(kind: Kind) -> dict[str, str]:
    from autocompress import catalog, data, metrics, models
    from autocompress.compression import registry

    if kind is Kind.MODELS:
        return models.describe() | {
            "torchvision:NAME": "a model of torchvision, with its pretrained weights",
            "module:factory": "your own: a callable that takes the data or nothing",
        }
    if kind is Kind.DATA:
        return data.describe()
    if kind is Kind.SCHEMES:
        return {name: _scheme(cls) for name, cls in registry.SCHEMES.items()}
    if kind is Kind.METRICS:
        return {
            name: f"{metric.doc} ({metric.direction}{f', {metric.unit}' if metric.unit else ''})"
            for name, metric in metrics.METRICS.items()
        }
    return catalog.docs(catalog.SPACES if kind is Kind.SPACES else catalog.OBJECTIVES)


def _scheme(cls: type[Compression]) -> str:
    """Return a scheme's summary, and under it its fields: required ones, then defaults."""
    fields = [f for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    required = [f.name for f in fields if f.default is dataclasses.MISSING]
    optional = [f"{f.name}={f.default}" for f in fields if f.default is not dataclasses.MISSING]
    text = ", ".join([*required, *optional])
    return _first_line(cls.__doc__) + (f"\n  {text}" if text else "")


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0].replace("``", "") if doc else ""

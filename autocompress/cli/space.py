"""``autocompress space``: what a search space holds for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autocompress.cli.guard import guarded

if TYPE_CHECKING:
    from rich.console import Console

    from autocompress.compression.estimate import Known
    from autocompress.explore.rules import Group
    from autocompress.explore.survey import Sample, Survey


@guarded
def space(
    file: Annotated[
        str,
        typer.Argument(
            help="A search space: a YAML file, or a name of autocompress list spaces.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str, typer.Option(help="autocompress list models, torchvision:NAME or module:factory")
    ] = "digits-cnn",
    data: Annotated[
        str, typer.Option(help="autocompress list data; gives the model's input and classes.")
    ] = "digits",
    data_root: Annotated[
        str | None, typer.Option(help="Folder of the images, for image-folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which samples are drawn.")] = 0,
    samples: Annotated[int, typer.Option(min=0, help="How many candidates to draw.")] = 10,
) -> None:
    """Show what a search space holds for a model: choices, size, samples, layers it misses.

    Nothing is trained, and no data files are read where the data set's shape is known.

    **Examples**

    * autocompress space mixed --model lenet5 --data mnist
    * autocompress space my-space.yaml --model torchvision:resnet18 --data cifar10 --samples 3
    """
    from rich.console import Console

    from autocompress import data as datasets
    from autocompress import models
    from autocompress.data import DataSpec
    from autocompress.explore.space import SearchSpace
    from autocompress.explore.survey import survey, without_training

    chosen = SearchSpace.load(file)
    made_up = datasets.stand_in(DataSpec(name=data, root=data_root))
    built = models.build(model, made_up)
    measure = without_training(built, made_up)
    show(Console(), survey(chosen, built, measure, samples=samples, seed=seed), model)


def show(console: Console, found: Survey, model: str) -> None:
    """Print a survey."""
    from rich.markup import escape

    from autocompress.explore.counting import RESOLUTION

    _show_layers(console, found, f"search space {found.space.name} on {model}")
    continuous = f", a continuous range counted as {RESOLUTION} values"
    console.print(
        f"size: 10^{found.total.log10:.1f} candidates: layers 10^{found.plans.log10:.1f}, "
        f"recipes 10^{found.recipes.log10:.1f} ({found.recipes})"
        f"{continuous if found.total.continuous else ''}",
        highlight=False,
    )
    for constraint in found.space.constraints:
        console.print(escape(f"constraint: {constraint.text}"), highlight=False)
    missed = ", ".join(f"{x.name or 'model'} ({x.kind})" for x in found.dense)
    console.print(f"layers that stay dense: {escape(missed) or 'none'}", highlight=False)
    for note in found.notes:
        console.print(escape(f"note: {note}"), highlight=False, style="yellow")
    if found.samples:
        _show_samples(console, found)


def _show_layers(console: Console, found: Survey, title: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title))
    for name in ("layer", "kind", "weight", "group", "schemes", "choices"):
        table.add_column(name, overflow="fold")
    table.add_column("log10", justify="right")
    seen: set[int] = set()
    lists: dict[str, str] = {}  # what is chosen from, and how the table calls it
    for layer in found.layers:
        shape = "x".join(map(str, layer.shape))
        cells = [escape(layer.name or "model"), layer.kind, shape]
        index = found.group_of(layer)
        if index is None:
            table.add_row(*cells, "-", "stays dense", "1", "0.0", style="dim")
            continue
        group, count = found.groups[index], found.counts[index]
        name = f"{group.name}{' (one task)' if group.joint else ''}"
        if index in seen:
            table.add_row(*cells, escape(name), "the same choice", "", "")
            continue
        seen.add(index)
        schemes = _schemes(group)
        lists.setdefault(schemes, f"S{len(lists) + 1}")
        table.add_row(*cells, escape(name), lists[schemes], str(count), f"{count.log10:.1f}")
    console.print(table)
    for schemes, label in lists.items():
        console.print(escape(f"{label}: {schemes}"), highlight=False)


def _schemes(group: Group) -> str:
    """Write what a group chooses from, with the number of choices of each."""
    from autocompress.explore.counting import count_option

    return "; ".join(f"{option.label} ({count_option(option)})" for option in group.options)


def _show_samples(console: Console, found: Survey) -> None:
    from rich.markup import escape
    from rich.table import Table

    from autocompress.analysis.units import quantity

    names = list(found.reference)
    table = Table(title=f"{len(found.samples)} samples, untrained")
    table.add_column("", justify="right")
    for name in names:
        table.add_column(quantity(name).label, justify="right")
    table.add_column("compression", overflow="fold")
    for number, sample in enumerate(found.samples):
        cells = [_metric(name, sample.metrics[name]) for name in names]
        style = "dim" if sample.broken else None
        table.add_row(str(number), *cells, escape(_plan(sample)), style=style)
    cells = [_metric(name, found.reference[name]) for name in names]
    table.add_row("", *cells, "uncompressed", style="dim")
    console.print(table)
    broken = sum(bool(sample.broken) for sample in found.samples)
    if broken:
        console.print(f"{broken} of {len(found.samples)} samples break a constraint")


def _metric(name: str, known: Known) -> str:
    """Write a metric; what weights may still change by more than a hundredth is marked."""
    from autocompress.analysis import format_value

    return f"{'~' if known.error > 0.01 else ''}{format_value(name, known.value)}"


def _plan(sample: Sample) -> str:
    from autocompress.analysis.text import plan_summary

    text = plan_summary(sample.candidate.to_dict())
    return text + "".join(f"; breaks {each!r}" for each in sample.broken)

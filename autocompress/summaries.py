"""What a terminal is told in the end: tables of fronts, trials and compressed models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn

from autocompress.analysis import Front, format_value
from autocompress.analysis.text import plan_summary, plan_text
from autocompress.analysis.units import quantity
from autocompress.compressed import Compressed
from autocompress.data import Data
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.trial import MODEL
from autocompress.lc import evaluate


def values(record: TrialRecord, objectives: Objectives) -> str:
    """Write a record's objectives: ``accuracy 97.2 %, packed file 12.3 KB``."""
    return ", ".join(
        f"{quantity(name).label} {format_value(name, record.metrics[name])}"
        for name in objectives.names
        if name in record.metrics
    )


def outcome(record: TrialRecord, objectives: Objectives) -> str:
    """Write how a trial ended, in one line."""
    text = record.status.value
    if record.status is Status.COMPLETE:
        text += f": {values(record, objectives)}"
    if record.message:
        text += f": {record.message}"
    return f"{text} ({record.seconds:.1f} s)"


def duration(seconds: float) -> str:
    """Write a time as ``42 s``, ``3:05 min`` or ``1:02:03 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02} h"


def show_front(console: Console, front: Front) -> None:
    """Print the front as a table, the uncompressed model last."""
    table = Table(title=f"Pareto front: {len(front)} of {len(front.considered)} trials")
    table.add_column("trial", justify="right")
    for name in front.objectives.names:
        table.add_column(quantity(name).label, justify="right")
    table.add_column("compression")
    for record in front:
        cells = [format_value(name, record.metrics[name]) for name in front.objectives.names]
        table.add_row(str(record.number), *cells, plan_summary(record.candidate))
    if front.reference:
        cells = [
            format_value(name, front.reference[name]) if name in front.reference else ""
            for name in front.objectives.names
        ]
        table.add_row("", *cells, "reference", style="dim")
    console.print(table)


def show_trial(
    console: Console,
    record: TrialRecord,
    reference: Mapping[str, float],
    run: Path,
    test: float | None,
) -> None:
    """Print everything known of a trial next to the uncompressed model, and where its files are."""
    table = Table(title=f"trial {record.number}")
    for heading in ("metric", "compressed", "reference"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, value in record.metrics.items():
        base = format_value(name, reference[name]) if name in reference else ""
        table.add_row(quantity(name).label, format_value(name, value), base)
    if test is not None:
        table.add_row("test accuracy", format_value("accuracy", test), "")
    console.print(table)
    console.print(plan_text(record.candidate), soft_wrap=True, markup=False)
    if record.folder is not None:
        console.print(f"model: {run / record.folder / MODEL}", soft_wrap=True, markup=False)


def show_compressed(
    console: Console,
    result: Compressed,
    reference: nn.Module,
    data: Data,
    *,
    entropy: bool = False,
) -> None:
    """Print size and accuracy of a compressed model next to its reference.

    Args:
        console: Where to.
        result: The compressed model.
        reference: The reference.
        data: What they are evaluated on.
        entropy: Whether the packed file is the entropy-coded one.
    """
    table = Table(title=escape(str(result.plan)), title_justify="left")
    for heading in ("", "compressed", "reference"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, split in (("validation", data.val), ("test", data.test)):
        pair = (result.evaluate(split).accuracy, evaluate(reference, split).accuracy)
        table.add_row(f"{name} accuracy", *(format_value("accuracy", value) for value in pair))
    size = result.size_report(entropy=entropy)
    table.add_row(
        "packed file",
        format_value("bytes", size.bytes),
        format_value("bytes", size.reference_bytes),
    )
    table.add_row("compression ratio", format_value("ratio", size.ratio), "")
    table.add_row(
        "nonzero weights",
        format_value("nonzeros", size.nonzeros),
        format_value("nonzeros", size.weights),
    )
    console.print(table)

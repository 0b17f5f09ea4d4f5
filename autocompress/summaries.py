"""What a terminal is told in the end: tables of fronts, trials and compressed models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from autocompress.sensitivity.calibration import Calibration
from autocompress.sensitivity.pairs import Pair, most_sensitive
from autocompress.sensitivity.table import Sensitivity


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


def show_sensitivity(
    console: Console,
    table: Sensitivity,
    pairs: Sequence[Pair],
    calibrations: Sequence[Calibration],
    *,
    most: int = 20,
) -> None:
    """Print the most sensitive layers, how they interact, and how far predictions can be trusted.

    Args:
        console: Where to.
        table: The sensitivities.
        pairs: Interactions.
        calibrations: Comparisons of predictions with what came.
        most: Layers shown at most.
    """
    names = most_sensitive(table)
    shown = Table(title=f"Most sensitive layers: {min(most, len(names))} of {len(names)}")
    shown.add_column("layers")
    for column in ("bytes", "smallest within 1 %", "loss", "accuracy"):
        shown.add_column(column, justify="right")
    shown.add_column("by")
    for name in names[:most]:
        rows = table.of(name)
        good = [row for row in rows if row.cost <= 0.01 * table.chance]
        row = min(good or rows, key=lambda row: row.bits if good else row.cost)
        shown.add_row(
            escape(name),
            format_value("bytes", max(row.bits for row in rows) / 8),
            format_value("bytes", row.bits / 8),
            f"{row.cost:+.4f}",
            f"{100 * row.accuracy:+.2f} %",
            escape(_choice(row.params, row.group, row.label)),
        )
    console.print(shown)
    console.print(
        f"reference: loss {table.reference_loss:.4f}, accuracy "
        f"{100 * table.reference_accuracy:.2f} % on {table.samples} validation examples; 1 % of "
        "the way to a guess at random counts as no loss"
    )
    for pair in pairs:
        names_ = f"{pair.first.group} and {pair.second.group}"
        console.print(
            f"{escape(names_)}: {pair.first.loss:+.4f} and {pair.second.loss:+.4f} alone, "
            f"{pair.loss:+.4f} together: interaction {pair.interaction:+.4f}"
        )
    for found in calibrations:
        error = f", median error {found.error:.3g}" if found.error == found.error else ""
        console.print(
            f"prediction against {found.against}: rank correlation {found.spearman:.2f} over "
            f"{found.candidates} candidates{error}"
        )


def _choice(params: Mapping[str, object], group: str, label: str) -> str:
    """Write a choice: ``prune,codebook (density 0.05, k 4)``."""
    values = [
        f"{name.rpartition('.')[2]} {value:.3g}"
        if isinstance(value, float)
        else f"{name.rpartition('.')[2]} {value}"
        for name, value in params.items()
        if name != f"{group}.scheme"
    ]
    return f"{label} ({', '.join(values)})" if values else label

"""``autocompress replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocompress.cli.guard import guarded
from autocompress.cli.options import Allow, Run, Storage

if TYPE_CHECKING:
    from rich.console import Console

    from autocompress.replaying import Replay


@guarded
def replay(
    run: Run,
    trial: Annotated[int, typer.Argument(help="The trial's number.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for its files \\[RUN/replays/TRIAL-1, -2, …]"),
    ] = None,
    storage: Storage = None,
    allow: Allow = None,
) -> None:
    """Run one trial again, alone, and compare it with its record, bit for bit.

    Exit code 1 if anything but times is different.

    **Example**: autocompress replay runs/mnist 17
    """
    from rich.console import Console

    from autocompress.display import observer
    from autocompress.replaying import replay as run_again

    console = Console()
    found = run_again(
        run, trial, out=out, storage=storage, allow=allow or (), observer=observer(console)
    )
    _show(console, found)
    if not found.agrees:
        raise typer.Exit(1)


def _show(console: Console, found: Replay) -> None:
    from rich.table import Table

    from autocompress.analysis.units import format_value, quantity

    def cell(name: str, value: float | None) -> str:
        return "" if value is None else format_value(name, value)

    table = Table(title=f"trial {found.record.number}")
    for heading in ("metric", "recorded", "replayed", ""):
        table.add_column(heading, justify="right" if heading.endswith("ed") else "left")
    for row in found.rows:
        verdict = "" if row.compared else "not compared"
        if not row.agrees:
            verdict = f"differs: {row.recorded!r}, {row.replayed!r}"
        cells = (cell(row.name, value) for value in (row.recorded, row.replayed))
        table.add_row(quantity(row.name).label, *cells, verdict)
    if found.rows:
        console.print(table)
    for line in _verdict(found):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _verdict(found: Replay) -> list[str]:
    record, result = found.record, found.result
    lines = [f"files: {found.folder}"]
    if result.message:
        lines.append(f"trial {record.number}: {result.message}")
    if found.agrees:
        return [*lines, f"trial {record.number} agrees with its record, bit for bit"]
    if result.status is not record.status:
        lines.append(f"it was {record.status}, is {result.status}")
    if found.first_difference is not None:
        lines.append(f"the first difference is in L-C step {found.first_difference}")
    lines += [f"not as it was: {text}" for text in found.surroundings]
    return [*lines, f"trial {record.number} does not agree with its record"]

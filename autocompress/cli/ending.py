"""How a sweep is watched on a terminal, and how its command ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from autocompress.explore.study import Study


def end(study: Study) -> None:
    """Close a study; end with exit code 1 if it was searched for a target nothing reaches."""
    with study:
        found = study.found()
    if found is not None and not found:
        raise typer.Exit(1)


def observer(quiet: bool) -> Any:
    """Return what shows a sweep's progress; with ``quiet`` only errors are told."""
    from rich.console import Console

    from autocompress.display import observer as display

    return display(Console(), quiet=quiet)

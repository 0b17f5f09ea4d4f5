"""The commands put together, and how their errors are told."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from autocompress import __version__
from autocompress.cli import (
    compress,
    dashboard,
    inspect,
    listing,
    replay,
    resume,
    search,
    sensitivity,
    space,
)
from autocompress.cli.guard import debugging, tell_error, tell_warning

app = typer.Typer(
    name="autocompress",
    help="Search for the accuracy-compression frontier of a neural network with the "
    "Learning-Compression algorithm.",
    epilog="Begin with: autocompress search. It needs nothing else and takes a few minutes. "
    "Any command takes --debug, which shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("search")(search.search)
app.command("resume")(resume.resume)
app.command("report")(inspect.report)
app.command("best", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    inspect.best
)
app.command("replay")(replay.replay)
app.command("dashboard")(dashboard.dashboard)
app.command("compress")(compress.compress)
app.command("space")(space.space)
app.command("sensitivity")(sensitivity.sensitivity)
app.command("list")(listing.list_known)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autocompress {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


def _complaint(text: str) -> str:
    """Return a complaint about the arguments with what is accepted."""
    if text.startswith("No such command"):
        return f"{text} Known are {', '.join(_names())}"
    return text.replace("Value error, ", "")  # the validating library's words


def _names() -> list[str]:
    return sorted(command.name for command in app.registered_commands if command.name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    Exit codes: 0 done, 1 nothing found, 2 an error (one line on stderr), 130 interrupted.

    Args:
        arguments: Without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with debugging("--debug" in given):
        warnings.showwarning = tell_warning
        try:
            code = app([x for x in given if x != "--debug"], standalone_mode=False)
        except Exception as error:
            if not hasattr(error, "format_message"):  # not a complaint about the arguments
                raise
            if type(error).__name__ == "NoArgsIsHelpError":  # the help itself, or shown already
                typer.echo(error.format_message(), err=True, nl=False)
            else:
                tell_error(_complaint(error.format_message()))
            code = 2
    sys.exit(code if isinstance(code, int) else 0)

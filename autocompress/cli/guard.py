"""Errors as one line on stderr; interrupts that say how to go on."""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer

from autocompress.errors import AutocompressError, AutocompressWarning

P = ParamSpec("P")
R = TypeVar("R")

_debug = False


@contextmanager
def debugging(on: bool) -> Iterator[None]:
    """Let errors out with their traceback, or tell them in one line."""
    global _debug
    before, _debug = _debug, on
    try:
        yield
    finally:
        _debug = before


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command tell its expected errors in one line and end with exit code 2."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (AutocompressError, OSError) as error:
            if _debug:
                raise
            tell_error(str(error))
            raise typer.Exit(2) from None

    return wrapper


def tell_error(text: str) -> None:
    """Write an error on stderr, in one line."""
    typer.echo(f"error: {' '.join(text.split())}", err=True)


def tell_warning(
    message: Warning | str, category: type[Warning], *place: object, **more: object
) -> None:
    """Write a warning of ours on stderr in one line; others are not for users of a command."""
    del place, more
    if issubclass(category, AutocompressWarning):
        typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


@contextmanager
def interruptible(out: Path, begun: Callable[[], bool]) -> Iterator[None]:
    """Turn Ctrl-C, or a plain ``kill``, into a word on how to go on, and exit code 130.

    Args:
        out: The run's folder.
        begun: Whether there is something to resume.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if main else None
    try:
        yield
    except KeyboardInterrupt:
        how = f"go on with: autocompress resume {out}" if begun() else "nothing was begun"
        typer.echo(f"\ninterrupted; {how}", err=True)
        sys.stderr.flush()
        raise typer.Exit(130) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt

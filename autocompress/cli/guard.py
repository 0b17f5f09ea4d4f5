"""Errors as one line on stderr; interrupts that say how to go on."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ParamSpec, TypeVar

import typer

from autocompress.errors import AutocompressError, AutocompressWarning

P = ParamSpec("P")
R = TypeVar("R")

_UNWIND = 3.0
"""Seconds that stopping may take before the process is ended as it is."""

_debug = False
_listening = False
_masks = threading.local()


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
            tell_error(_text(error))
            raise typer.Exit(2) from None

    return wrapper


def _text(error: Exception) -> str:
    """Return what to tell of an error: of the system's, the file and what is wrong, no number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


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
def interruptible(command: str, begun: Callable[[], bool]) -> Iterator[None]:
    """Turn Ctrl-C, or a plain ``kill``, into a word on how to go on, and exit code 130.

    What does not stop within three seconds is left as it is, and at the second Ctrl-C so is
    everything: a run can be killed at any moment, and workers end with their driver.

    Args:
        command: The command line that goes on.
        begun: Whether there is something to resume.
    """

    def tell() -> None:
        how = f"go on with: {command}" if begun() else "nothing was begun"
        os.write(2, f"\ninterrupted; {how}\n".encode())  # may be called in the midst of a print

    interrupts = _Interrupts(tell)
    try:
        with interrupts.heard():
            yield
    except BaseException as error:
        # whatever else comes out after an interrupt comes of it: of a step that was cut in two
        if not (isinstance(error, KeyboardInterrupt) or (interrupts.came and not _debug)):
            raise
        tell()
        raise typer.Exit(130) from None


class _Interrupts:
    """Turns the first signal into KeyboardInterrupt, and ends the process if that takes long.

    A thread ends it, which hears of signals through a socket, at once: the main thread runs its
    handlers between two instructions only, and may be deep in a long computation.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.came = False  # the first one
        self._tell = tell
        self._leaving = threading.Lock()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Handle signals meanwhile; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not told to ignore
            numbers.append(signal.SIGINT)
        with self._watched(bytes(numbers)):
            before = {number: signal.signal(number, self._handle) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextmanager
    def _watched(self, numbers: bytes) -> Iterator[None]:
        """Have a thread hear of signals."""
        global _listening
        mouth, ear = socket.socketpair()
        mouth.setblocking(False)
        thread = threading.Thread(target=self._watch, args=(ear, numbers), daemon=True)
        thread.start()
        before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        _listening = True
        try:
            yield
        finally:
            _listening = False
            signal.set_wakeup_fd(before)
            mouth.shutdown(socket.SHUT_RDWR)  # forked children may hold it open
            thread.join()
            mouth.close()
            ear.close()

    def _watch(self, ear: socket.socket, numbers: bytes) -> None:
        """End the process some seconds after the first signal, or at the second one."""

        def hear() -> bool:
            while said := ear.recv(1):
                if said in numbers:
                    return True
            return False  # it is over

        if not hear():
            return
        ear.settimeout(_UNWIND)
        with suppress(TimeoutError):
            if not hear():
                return
        self._leave()

    def _handle(self, number: int, frame: object) -> None:
        del number, frame
        if self.came:
            self._leave()
        self.came = True
        raise KeyboardInterrupt

    def _leave(self) -> None:
        if not self._leaving.acquire(blocking=False):
            threading.Event().wait()  # another thread is at it
        try:
            if sys.stdout.isatty():
                os.write(1, b"\x1b[?25h")  # a live display hides the cursor
            self._tell()
        finally:  # nobody may be left to read it
            os._exit(130)


def _before_fork() -> None:
    """Hold signals back: what a child is told before it is ready, its parent would hear of."""
    if _listening:
        _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # alone: a handler may raise
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _after_fork() -> None:
    before, _masks.before = getattr(_masks, "before", None), None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _after_fork_in_child() -> None:
    """Leave the parent's socket and its way to stop to the parent."""
    global _listening
    if _listening:
        _listening = False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.default_int_handler)
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )

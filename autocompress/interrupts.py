"""Interrupts that were raised where nothing came of them.

Python prints an exception and goes on where a hook at a fork, a destructor or a callback of the
garbage collector raises it. The KeyboardInterrupt of a Ctrl-C may come up just there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """Remember meanwhile that a handler of SIGINT or SIGTERM has raised KeyboardInterrupt.

    Handlers stay who they are, and decide what to do. In other threads than the main one, which
    hear no signals, nothing is remembered.

    Yields:
        What raises KeyboardInterrupt again if one was raised before; to be called between two waits
        of a loop.
    """
    raised = threading.Event()

    def listening(handler: Callable[[int, FrameType | None], object]) -> Callable[..., None]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except KeyboardInterrupt:
                raised.set()
                raise

        return handle

    def check() -> None:
        if raised.is_set():
            raised.clear()
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in found.items() if callable(handler)}
    try:
        for number, handler in before.items():
            signal.signal(number, listening(handler))
        yield check
        check()  # it may have come after the last look
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The lines over which workers report: one connection each, nothing shared between them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""``line``, the number of the line it came over, and ``gone`` if there is no more to come, or else
``ticket`` of the batch, ``number`` of the job and one of ``process``, ``step``, ``result``."""


class Lines:
    """Accepts workers' connections and passes on what they say, in each worker's order.

    Messages are JSON: nothing a worker sends is executed. Lines are numbered and no number is ever
    used again, as that of a process may be; what comes over one keeps its order.

    Args:
        hear: Called with every message, from other threads.

    Attributes:
        address: Where workers connect to.
        authkey: What they must know to.
        opened: How many have connected so far.
    """

    def __init__(self, hear: Callable[[Message], object]) -> None:
        self.authkey = os.urandom(32)
        self.opened = 0
        self._hear = hear
        self._listener = _listener(self.authkey)
        self._closed = False
        self._open: dict[int, Connection] = {}
        self.address: Any = self._listener.address
        threading.Thread(target=self._accept, name="autocompress-accept", daemon=True).start()

    def answer(self, line: int, step: int) -> None:
        """Let the worker at a line's other end know that a step of its job was heard of."""
        connection = self._open.get(line)
        if connection is not None:
            with contextlib.suppress(OSError):  # its worker is gone
                connection.send_bytes(str(step).encode())

    def close(self) -> None:
        """Accept no more workers."""
        self._closed = True
        with contextlib.suppress(OSError):
            Client(self.address).close()  # wakes the accepting thread, which closing would not
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                line = self._listener.accept()
            except Exception:  # a stranger, a worker that died just now, or we are closed
                continue
            self.opened += 1
            threading.Thread(target=self._listen, args=(self.opened, line), daemon=True).start()

    def _listen(self, number: int, connection: Connection) -> None:
        self._open[number] = connection
        with connection:
            while True:
                try:
                    message = json.loads(connection.recv_bytes())
                except (EOFError, OSError, ValueError):  # its worker is gone
                    break
                self._hear({**message, "line": number})
        del self._open[number]
        self._hear({"line": number, "gone": True})


def _listener(authkey: bytes) -> Listener:
    try:
        return Listener(authkey=authkey, backlog=16)
    except OSError:  # a temporary folder whose path is too long for a socket
        return Listener(("localhost", 0), authkey=authkey, backlog=16)

"""Whether a cluster's head is still there."""

from __future__ import annotations

import socket
import time

from autocompress.errors import ExecutorError

_EVERY = 1.0
"""Seconds between two looks."""
_REFUSED = 3
"""How often in a row nobody must listen there."""
_SILENT = 30.0
"""Seconds without an answer of any kind; a busy machine or network may be slow."""


class Head:
    """Connects to the head's port, and hangs up.

    Ray itself waits a minute for a head that is gone, and then ends the process without a word to
    it. And a head that was started again knows nothing of this sweep.

    Args:
        address: Its ``HOST:PORT``.

    Attributes:
        lost: Whether it is gone.
    """

    def __init__(self, address: str) -> None:
        self.lost = False
        self._address = address
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._looked = time.monotonic()
        self._silent: float | None = None
        self._refused = 0

    def check(self, *, now: bool = False) -> None:
        """Look whether it is there, at most once a second unless it is to be known now.

        Raises:
            ExecutorError: it is gone.
        """
        if self.lost:
            raise self._error()
        if not now and time.monotonic() - self._looked < _EVERY:
            return
        while not self._look() and now:
            time.sleep(_EVERY)

    def _look(self) -> bool:
        """Return whether it answers."""
        try:
            socket.create_connection(self._place, timeout=_EVERY).close()
        except OSError as error:
            self._refused += isinstance(error, ConnectionRefusedError)
            self._silent = self._silent or time.monotonic()
            if self._refused >= _REFUSED or time.monotonic() - self._silent > _SILENT:
                self.lost = True
                raise self._error() from None
            return False
        else:
            self._refused, self._silent = 0, None
            return True
        finally:
            self._looked = time.monotonic()

    def _error(self) -> ExecutorError:
        return ExecutorError(
            f"the head of the Ray cluster at {self._address} is gone: start the cluster again; "
            f"'autocompress resume RUN --executor ray --address HOST:PORT' goes on from here, "
            f"'--executor local' does so without a cluster"
        )

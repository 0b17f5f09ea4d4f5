"""Whether a cluster's head is still there."""

from __future__ import annotations

import socket
import time

from autocompress.errors import ExecutorError

_EVERY = 1.0
"""Seconds between two looks."""
_HELD = 5.0
"""Seconds that a connection is held; a head hangs up on those that are silent for much longer."""
_REFUSED = 3
"""How often in a row nobody must listen there."""
_SILENT = 30.0
"""Seconds without an answer of any kind; a busy machine or network may be slow."""


class Head:
    """Holds a connection to the head's port, and looks whether it lasts.

    Ray itself waits a minute for a head that is gone, and then ends the process without a word to
    it. A head that was started again, at the same port, knows nothing of this sweep: so it is the
    connection that counts, which ends with the process at its other end, and not that somebody
    listens.

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
        self._line: socket.socket | None = None
        self._since = 0.0
        self._lasting = False  # whether a connection was ever held so long

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

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _look(self) -> bool:
        """Return whether it answers."""
        try:
            if self._line is not None and self._ended(self._line):
                self.close()
                if self._lasting:
                    raise self._gone()
            if self._line is None or time.monotonic() - self._since > _HELD:
                self._dial()
        except OSError as error:
            self._refused += isinstance(error, ConnectionRefusedError)
            self._silent = self._silent or time.monotonic()
            if self._refused >= _REFUSED or time.monotonic() - self._silent > _SILENT:
                raise self._gone() from None
            return False
        else:
            self._refused, self._silent = 0, None
            return True
        finally:
            self._looked = time.monotonic()

    def _dial(self) -> None:
        """Connect, and only then hang up on the connection there was."""
        line = socket.create_connection(self._place, timeout=_EVERY)
        line.setblocking(False)
        self._lasting = self._lasting or self._line is not None
        self.close()
        self._line, self._since = line, time.monotonic()

    def _ended(self, line: socket.socket) -> bool:
        """Whether the other end has hung up."""
        try:
            while line.recv(4096):  # a greeting; nothing is said in return
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _gone(self) -> ExecutorError:
        self.lost = True
        self.close()
        return self._error()

    def _error(self) -> ExecutorError:
        return ExecutorError(
            f"the head of the Ray cluster at {self._address} is gone, or was started again: once "
            f"there is a cluster, 'autocompress resume RUN --executor ray --address HOST:PORT' "
            f"goes on from here; '--executor local' does so without one"
        )

"""One driver at a time for a study in a database that several machines reach.

The lock of a run's folder keeps out others that use the same folder. A copy of the folder, here or
elsewhere, leads to the same study all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from autocompress.errors import RunError
from autocompress.explore.database import Database, shown
from autocompress.storage.locking import locked


@contextmanager
def claimed(database: Database, study: str) -> Iterator[None]:
    """Keep every other driver off a study; freed however this process ends.

    PostgreSQL and MySQL have locks that belong to a connection and end with it; next to a SQLite
    file there is a file to lock. In any other database, a second driver is noticed when it
    writes a trial.

    Args:
        database: The database.
        study: The study's name in it.

    Raises:
        RunError: another process runs it.
    """
    url = sqlalchemy.make_url(database.url)
    refused = RunError(f"{shown(database.url)}: another process is running the study {study!r}")
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            yield
            return
        path = Path(url.database)
        with locked(path.with_name(f".{path.name}.{study}.lock"), refused):
            yield
        return
    with database.reading():
        connection = database.engine.connect()
    try:
        with database.reading():  # and without a transaction that would stay open all the time
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            free = _lock(connection, study)
        if not free:
            raise refused
        yield
    finally:
        with suppress(SQLAlchemyError):  # the server may be gone
            connection.invalidate()  # not back to the pool: the lock is the connection's
            connection.close()


def _lock(connection: Connection, study: str) -> bool:
    """Take a lock that ends with the connection; return whether it was free."""
    key = hashlib.sha256(f"autocompress {study}".encode())
    kind = connection.dialect.name
    if kind == "postgresql":
        number = int.from_bytes(key.digest()[:8], signed=True)
        asked = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)").bindparams(key=number)
    elif kind in ("mysql", "mariadb"):
        asked = sqlalchemy.text("SELECT GET_LOCK(:key, 0)").bindparams(key=key.hexdigest()[:32])
    else:
        return True
    return bool(connection.execute(asked).scalar_one())

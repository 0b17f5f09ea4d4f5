"""The database behind a study: Optuna's SQL storage, written in whole transactions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy
import sqlalchemy.exc
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from autocompress.errors import ConfigError, RunError
from autocompress.explore.rows import Rows

try:
    from optuna.storages._rdb.models import TrialParamModel
except ImportError:  # it is Optuna's own affair where that is
    TrialParamModel = None  # type: ignore[assignment,misc]

_WAIT = 60
"""How long to wait for another process that is writing, seconds."""

_ANSWER = 5
"""How long to wait for a server's first answer, seconds."""

_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
}
"""What to install for SQLAlchemy's drivers, where it has another name."""


class _Batch(Session):
    """A session that can put off committing, so that many writes are one transaction.

    Optuna commits after every attribute. Together they cost one flush to the disk, and a process
    killed halfway leaves nothing half-written.
    """

    held = False
    failed = False

    def commit(self) -> None:
        if self.held:
            self.flush()
            self.expire_all()  # Optuna also writes past the session's objects
        else:
            super().commit()

    def rollback(self) -> None:
        self.failed = self.held
        super().rollback()

    def close(self) -> None:
        if not self.held:
            super().close()


class Database(RDBStorage):
    """Optuna's SQL storage with :meth:`transaction`.

    Args:
        url: SQLAlchemy URL.

    Raises:
        RunError: the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        sqlite = url.startswith("sqlite")
        try:
            super().__init__(url, engine_kwargs=_arguments(url))
        except ImportError:
            raise RunError(
                f"the database {shown(url)} cannot be opened: its driver is not installed: "
                f"pip install '{_package(url)}'"
            ) from None
        except (sqlalchemy.exc.SQLAlchemyError, RuntimeError, TypeError, ValueError) as error:
            text = without_password(_line(error), url)
            raise RunError(f"the database {shown(url)} cannot be opened: {text}") from None
        if sqlite:
            self.engine.dispose()  # the connections made before the settings below
            sqlalchemy.event.listen(self.engine, "connect", _prepare)
        self.scoped_session = scoped_session(sessionmaker(bind=self.engine, class_=_Batch))

    def _set_trial_param_without_commit(
        self,
        session: Session,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        # Optuna would look up the trial, which is new here, and each parameter's distribution in
        # earlier trials, where all come from one search space, and write each by itself. Without
        # this method: slower, no more.
        if TrialParamModel is not None and isinstance(session, _Batch) and session.held:
            values: dict[str, Any] = {"trial_id": trial_id, "param_name": param_name}
            text = distribution_to_json(distribution)
            values |= {"param_value": param_value_internal, "distribution_json": text}
            session.add(TrialParamModel(**values))
            return
        with session.no_autoflush:
            super()._set_trial_param_without_commit(
                session,
                trial_id,
                param_name,
                param_value_internal,
                distribution,
                previous_distribution or distribution,
            )

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Make all writes of this thread inside one transaction: all are kept, or none.

        Args:
            durable: Whether to wait for the disk. Otherwise a power cut, though not the end of
                this process, may undo it; what is written later is never kept without it.

        Raises:
            RunError: the database cannot be written.
        """
        session = self.scoped_session()
        assert isinstance(session, _Batch)
        session.held, session.failed = True, False
        try:
            self._wait_for_disk(session, durable)
            yield
            session.held = False
            if session.failed:
                raise RunError(f"{shown(self.url)}: another process is writing to the same study")
            session.commit()
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            raise RunError(f"{shown(self.url)} cannot be written: {_line(error)}") from None
        finally:
            session.held = False
            session.rollback()
            session.close()

    @cached_property
    def rows(self) -> Rows:
        """The tables of trials, to write a whole trial at once; see :meth:`connection`."""
        return Rows(self.engine)

    @property
    def connection(self) -> sqlalchemy.Connection:
        """The connection of this thread's transaction."""
        return self.scoped_session().connection()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Tell what goes wrong while it is read in one line.

        Raises:
            RunError: it is damaged, locked, or does not answer.
        """
        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            raise RunError(f"{shown(self.url)} cannot be read: {_line(error)}") from None

    def _wait_for_disk(self, session: Session, durable: bool) -> None:
        if self.engine.dialect.name == "sqlite":
            level = "FULL" if durable else "NORMAL"
            session.connection().exec_driver_sql(f"PRAGMA synchronous={level}")


def check_url(url: str) -> None:
    """Check that a text is the URL of a database.

    Raises:
        ConfigError: it is not, or its password was left out when it was shown.
    """
    try:
        found = sqlalchemy.make_url(url)
        found.get_dialect()
    except sqlalchemy.exc.NoSuchModuleError:
        problem = "is a kind of database that SQLAlchemy does not know"
    except (sqlalchemy.exc.ArgumentError, ValueError):
        problem = "is no URL of a database"
    else:
        if found.password != "***":
            return
        problem = "has no password in it, which is never written down"
    raise ConfigError(
        f"storage = {shown(url)!r} {problem}: expected one such as sqlite:///FILE.db or "
        f"postgresql://USER:PASSWORD@HOST/DATABASE"
    )


def shown(url: str) -> str:
    """Return a database's URL as it may be shown: without its password."""
    try:
        found = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
    query = {k: "***" if k in ("password", "passwd") else v for k, v in found.query.items()}
    return found.set(query=query).render_as_string(hide_password=True)


def without_password(text: str, url: str) -> str:
    """Return a message about a database without its password."""
    try:
        password = sqlalchemy.make_url(url).password
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return text.replace(url, shown(url))
    return text.replace(str(password), "***") if password else text


def _package(url: str) -> str:
    """Return what to install for a database's driver."""
    driver = sqlalchemy.make_url(url).get_driver_name()
    return _PACKAGES.get(driver, driver)


def _arguments(url: str) -> dict[str, Any]:
    """Return what a kind of database is opened with, so that none is waited for without end."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": _WAIT}}
    if url.startswith(("postgresql", "mysql")):
        return {"connect_args": {"connect_timeout": _ANSWER}, "pool_pre_ping": True}
    return {}


def read_only(url: str) -> RDBStorage:
    """Open a database for others to look at; a SQLite file refuses every write.

    Raises:
        RunError: it cannot be opened.
    """
    database = Database(url)
    if url.startswith("sqlite"):
        database.engine.dispose()
        sqlalchemy.event.listen(database.engine, "connect", _only_read)
    return database


def _only_read(connection: Any, record: object) -> None:
    del record
    connection.execute("PRAGMA query_only=ON")


def _prepare(connection: Any, record: object) -> None:
    """Set up a new SQLite connection.

    A write-ahead log needs at most one flush a transaction and lets others read meanwhile.
    """
    del record
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _line(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return " ".join(str(cause or error).split("\n")[0].split())

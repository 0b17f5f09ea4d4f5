"""A trial written to Optuna's tables at once, and all of them read.

Optuna's own methods look up the trial again for every parameter, attribute and value, count the
trials before it, and search for it by number: most of what a sweep costs besides its trials, and
more with every trial. Here the same rows are written by a few statements.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, MetaData, Table

from autocompress.errors import RunError
from autocompress.explore.readback import PARAMS, SYSTEM, USER, VALUES, read_trials

_OTHER = "another process is running trials of the same study"


class Rows:
    """Optuna's tables of trials, as they are in a database.

    Args:
        engine: The database's.
    """

    def __init__(self, engine: Engine) -> None:
        known = MetaData()
        names = ("studies", "trials", PARAMS, VALUES, USER, SYSTEM)
        self._tables = {name: Table(name, known, autoload_with=engine) for name in names}

    def read(self, connection: Connection, study_id: int) -> list[FrozenTrial]:
        """Return all trials of a study, in the order in which they were added."""
        return read_trials(connection, self._tables, study_id)

    def add(self, connection: Connection, study_id: int, trial: FrozenTrial) -> int:
        """Write a new trial without values; return its id in the database.

        Raises:
            RunError: there is a trial of its number.
        """
        trials, studies = self._tables["trials"], self._tables["studies"]
        mine = sqlalchemy.select(studies.c.study_id).where(studies.c.study_id == study_id)
        connection.execute(mine.with_for_update())  # others wait; SQLite locks as it writes
        row = {
            "number": trial.number,
            "study_id": study_id,
            "state": trial.state.name,
            "datetime_start": trial.datetime_start,
        }
        key = connection.execute(trials.insert(), row).inserted_primary_key
        assert key is not None  # every database we know gives it
        trial_id = int(key[0])
        ours = trials.c.study_id == study_id
        count = sqlalchemy.select(sqlalchemy.func.count()).select_from(trials).where(ours)
        if connection.execute(count).scalar_one() != trial.number + 1:
            raise RunError(_OTHER)
        params = []
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            params.append(
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(value),
                    "distribution_json": distribution_to_json(distribution),
                }
            )
        self._insert(connection, PARAMS, params)
        self._attrs(connection, USER, trial_id, trial.user_attrs)
        self._attrs(connection, SYSTEM, trial_id, trial.system_attrs)
        return trial_id

    def finish(
        self,
        connection: Connection,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
    ) -> None:
        """Write the result of a running trial; its values are finite, its attributes are new.

        Raises:
            RunError: it is not running.
        """
        trials = self._tables["trials"]
        running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING.name)
        ended = {"state": state.name, "datetime_complete": datetime.now()}
        if connection.execute(trials.update().where(running).values(ended)).rowcount != 1:
            raise RunError(_OTHER)
        rows = [
            {"trial_id": trial_id, "objective": i, "value": float(x), "value_type": "FINITE"}
            for i, x in enumerate(values or ())
        ]
        self._insert(connection, VALUES, rows)
        self._attrs(connection, USER, trial_id, user_attrs)
        self._attrs(connection, SYSTEM, trial_id, system_attrs)

    def _attrs(
        self, connection: Connection, table: str, trial_id: int, attrs: Mapping[str, Any]
    ) -> None:
        rows = [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attrs.items()
        ]
        self._insert(connection, table, rows)

    def _insert(self, connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            connection.execute(self._tables[table].insert(), rows)

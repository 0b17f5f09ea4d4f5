"""All trials of a study read from Optuna's tables at once.

Optuna's own way makes objects of every row and reads every distribution anew, which takes most of a
millisecond a trial, and copying what it gave takes that again.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import sqlalchemy
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table

PARAMS: Final = "trial_params"
VALUES: Final = "trial_values"
USER: Final = "trial_user_attributes"
SYSTEM: Final = "trial_system_attributes"

_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}


class StoredTrial(FrozenTrial):
    """A trial to be added to Optuna's storage in memory, which makes a deep copy of it.

    The copy has parameters and attributes of its own, as the storage adds some later; their values,
    which nobody changes, it shares.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        result = FrozenTrial.__new__(FrozenTrial)
        result.__dict__.update({key: copy.copy(value) for key, value in self.__dict__.items()})
        return result


def read_trials(
    connection: Connection, tables: Mapping[str, Table], study_id: int
) -> list[FrozenTrial]:
    """Return a study's trials in the order in which they were stored; without intermediate values.

    Args:
        connection: Of the database.
        tables: Its tables by name.
        study_id: The study.
    """
    trials = tables["trials"]
    ours = trials.c.study_id == study_id
    mine = trials.c.trial_id

    def rows(name: str, key: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield rows of a table of the study's trials in the order in which they were written."""
        table = tables[name]
        wanted = sqlalchemy.select(table.c.trial_id, *(table.c[column] for column in columns))
        wanted = wanted.join(trials, mine == table.c.trial_id).where(ours)
        yield from map(tuple, connection.execute(wanted.order_by(table.c[key])))

    found: dict[int, dict[str, Any]] = {}
    columns = (trials.c.number, trials.c.state, trials.c.datetime_start, trials.c.datetime_complete)
    chosen = sqlalchemy.select(mine, *columns).where(ours).order_by(mine)
    for trial_id, number, state, start, complete in connection.execute(chosen):
        found[trial_id] = {
            "number": number,
            "state": TrialState[state if isinstance(state, str) else state.name],
            "datetime_start": start,
            "datetime_complete": complete,
            "params": {},
            "distributions": {},
            "user_attrs": {},
            "system_attrs": {},
            "values": [],
        }
    written = rows(PARAMS, "param_id", "param_name", "param_value", "distribution_json")
    for trial_id, name, value, text in written:
        distribution = _distribution(text)
        found[trial_id]["params"][name] = distribution.to_external_repr(value)
        found[trial_id]["distributions"][name] = distribution
    for trial_id, value, kind in rows(VALUES, "objective", "value", "value_type"):
        kind = kind if isinstance(kind, str) else kind.name
        found[trial_id]["values"].append(_INFINITE.get(kind, value))
    for table, attrs, key in (
        (USER, "user_attrs", "trial_user_attribute_id"),
        (SYSTEM, "system_attrs", "trial_system_attribute_id"),
    ):
        for trial_id, name, text in rows(table, key, "key", "value_json"):
            found[trial_id][attrs][name] = json.loads(text)
    return [_trial(trial_id, parts) for trial_id, parts in found.items()]


def _trial(trial_id: int, parts: dict[str, Any]) -> FrozenTrial:
    values = parts.pop("values") or None
    return StoredTrial(
        trial_id=trial_id, value=None, values=values, intermediate_values={}, **parts
    )


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    """Return a distribution; all trials share one, and none is ever changed."""
    return json_to_distribution(text)

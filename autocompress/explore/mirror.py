"""An Optuna study in memory, kept the same as the one in the database.

Samplers read all trials many times for every suggestion; from SQL that takes most of a second a
trial. Here they read memory, and a trial is written to the database in one transaction when it is
asked for and in another when its result is told.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from autocompress.errors import RunError
from autocompress.explore.database import Database

QUEUE = "queue"


def make_queue(seeds: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the study attribute ``QUEUE`` of a new study whose first trials these are.

    Args:
        seeds: Parameters and user attributes of each trial.
    """
    return {
        str(number): {"params": dict(params), "attrs": dict(attrs)}
        for number, (params, attrs) in enumerate(seeds)
    }


class Mirror:
    """The trials of a study.

    Args:
        database: Where they are stored.
        study_id: Which of the database's studies.
        sampler: Who suggests parameters.
    """

    def __init__(self, database: Database, study_id: int, sampler: BaseSampler) -> None:
        self._database = database
        self._study_id = study_id
        self._sampler = sampler
        self.reload()

    def reload(self) -> None:
        """Read everything again from the database."""
        self._memory = InMemoryStorage()
        with self._database.reading():
            directions = self._database.get_study_directions(self._study_id)
            with self._database.engine.connect() as connection:
                stored = self._database.rows.read(connection, self._study_id)
            queue = self._queue()
        self._stored_ids = [trial._trial_id for trial in stored]  # by number
        self._study = optuna.create_study(
            storage=self._memory, sampler=self._sampler, directions=directions
        )
        for trial in stored:
            self._study.add_trial(trial)
        for number, seed in sorted(queue.items()):
            if number >= len(stored):
                self._study.enqueue_trial(seed["params"], user_attrs=seed["attrs"])
        self._stale = False

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number; not to be changed."""
        if self._stale:
            self.reload()
        return self._study.get_trials(deepcopy=False)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Mark memory as out of step unless the block ends well."""
        if self._stale:
            self.reload()
        self._stale = True
        yield
        self._stale = False

    def enqueue(self, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
        """Have these parameters tried before the sampler is asked again.

        A trial enters the database once it is asked for; until then it waits in an attribute of
        the study, under the number it will have.
        """
        with self._changing():
            number = len(self._study.get_trials(deepcopy=False))
            queue = self._queue() | {number: {"params": dict(params), "attrs": dict(attrs)}}
            stored = {str(key): value for key, value in queue.items()}
            with self._database.transaction():
                self._database.set_study_user_attr(self._study_id, QUEUE, stored)
            self._study.enqueue_trial(dict(params), user_attrs=dict(attrs))

    def _queue(self) -> dict[int, dict[str, Any]]:
        stored = self._database.get_study_user_attrs(self._study_id).get(QUEUE, {})
        return {int(number): seed for number, seed in stored.items()}

    def waiting(self) -> bool:
        """Whether an enqueued trial is next."""
        if self._stale:
            self.reload()
        # of these, and of no others, Optuna remembers where to look
        states = (TrialState.WAITING,)
        return bool(self._study.get_trials(deepcopy=False, states=states))

    @contextmanager
    def asking(
        self, proposal: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    ) -> Iterator[Trial]:
        """Yield a new trial, to suggest its parameters and set its attributes.

        It is stored when the block ends; if the block fails, there never was such a trial.

        Args:
            proposal: Parameters the trial is to have, and user attributes.

        Raises:
            RunError: another process has asked for a trial meanwhile.
        """
        with self._changing():
            if proposal is not None:
                self._study.enqueue_trial(dict(proposal[0]), user_attrs=dict(proposal[1]))
            trial = self._study.ask()
            yield trial
            frozen = self._memory.get_trial(trial._trial_id)
            # should a power cut undo it, the same trial will be asked for again
            rows = self._database.rows
            with self._database.transaction(durable=False):
                stored_id = rows.add(self._database.connection, self._study_id, frozen)
            self._stored_ids.append(stored_id)

    def finish(
        self,
        number: int,
        attrs: Mapping[str, Any],
        constraints: Mapping[str, float],
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Give a running trial its result.

        Args:
            number: The trial's number.
            attrs: User attributes to add.
            constraints: By how much each limit is exceeded; kept if at most 0.
            state: What Optuna is told.
            values: Its values of the objectives, if the state is complete.

        Raises:
            RunError: no such trial is running.
        """
        with self._changing():
            trials = self._study.get_trials(deepcopy=False)
            if number >= len(trials) or trials[number].state != TrialState.RUNNING:
                raise RunError(f"trial {number} cannot be told: it is not running")
            before = copy.copy(trials[number].system_attrs)
            trial = Trial(self._study, trials[number]._trial_id)
            for key, value in attrs.items():
                trial.set_user_attr(key, value)
            for key, value in constraints.items():
                trial.set_constraint(key, value)
            after = self._study.tell(trial, values, state).system_attrs
            added = {key: value for key, value in after.items() if key not in before}
            stored_id, rows = self._stored_ids[number], self._database.rows
            with self._database.transaction():
                rows.finish(self._database.connection, stored_id, state, values, attrs, added)

"""The study: every trial of a sweep, in a database. The one source of truth of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optuna.trial import TrialState
from torch import nn

from autocompress.errors import RunError
from autocompress.explore import opening
from autocompress.explore.constraints import Checker
from autocompress.explore.continuation import Starts
from autocompress.explore.database import Database
from autocompress.explore.entries import (
    ORIGIN,
    PENDING,
    RESULT,
    PendingTrial,
    judge,
    outcome,
    read_record,
    result_of,
)
from autocompress.explore.mirror import QUEUE, Mirror, make_queue
from autocompress.explore.objectives import Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.proposals import Proposer
from autocompress.explore.record import SAME, Status, TrialRecord
from autocompress.explore.repeats import KEY, Repeat, by_trial
from autocompress.explore.sampling import derive_seed, make_sampler
from autocompress.explore.seeding import Seed
from autocompress.explore.strategy import Dimensions, choose
from autocompress.layers import find_layers
from autocompress.recipe import Candidate

if TYPE_CHECKING:
    from autocompress.analysis.front import Front
    from autocompress.analysis.onesided import Found

_TEST = "test:"
_NOTE = "note:"


class Study:
    """All trials of a sweep: asked for, told, remembered.

    Made by :meth:`create` or :meth:`load`. Asking, telling and creating are one transaction each: a
    process killed at any moment leaves either all of the change or nothing of it. One process at
    a time may ask and tell; any number may read.

    Attributes:
        path: The run's folder.
        setup: What the study is about.
        sampler: The sampler's name.
        sampling: The same, and why this one.
        proposer: Who is asked for a candidate before the sampler is; nobody by default.
        excess: By how much metrics exceed limits besides the objectives', for the sampler.
    """

    def __init__(
        self, path: Path, database: Database, study_id: int, setup: Setup, model: nn.Module | None
    ) -> None:
        self.path = path
        self.setup = setup
        self.proposer: Proposer | None = None
        self.excess: Callable[[Mapping[str, float]], dict[str, float]] | None = None
        self._model = model
        layers = () if model is None else find_layers(model)
        weights = setup.space.weights(layers) if layers else {}
        self._checker = setup.space.checker(layers) if layers else Checker(())
        dimensions = Dimensions.of(setup.space, layers) if layers else Dimensions()
        self.sampler, reason = choose(
            setup.sampler,
            trials=setup.trials,
            dimensions=dimensions,
            objectives=len(setup.objectives.items),
        )
        self.sampling = f"{self.sampler} ({reason})"
        sampler = make_sampler(self.sampler, seed=setup.seed, trials=setup.trials, weights=weights)
        self._database = database
        self._study_id = study_id
        self._mirror = Mirror(database, study_id, sampler)
        self._finished: dict[int, TrialRecord] = {}
        self._ended: list[TrialRecord] = []  # the first ones, up to one that has not ended
        self._digests: dict[str, int] = {}
        self._starts = Starts(model) if model is not None and self.continues else None
        if model is not None:
            self.records()

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, {self.setup.objectives.name})"

    @classmethod
    def create(
        cls,
        path: str | Path,
        setup: Setup,
        model: nn.Module,
        *,
        seeds: Iterable[Seed] = (),
        notes: Mapping[str, Any] | None = None,
        storage: str | None = None,
        name: str | None = None,
    ) -> Self:
        """Start a study.

        Args:
            path: The run's folder; created if missing.
            setup: What the study is about, its objectives resolved.
            model: The reference model; only its layers' names and shapes matter here.
            seeds: Candidates to try first, see :func:`autocompress.explore.seeding.make_seeds`.
            notes: What :meth:`note` is to return from the beginning.
            storage: SQLAlchemy URL; a SQLite file ``study.db`` in the folder by default.
            name: What the study is called in the database; by default as the folder.

        Raises:
            RunError: the folder holds a study already, or the database cannot be used.
            ConfigError, SchemeError: the objectives are not resolved, there is no such sampler,
                or the space does not fit the model.
        """
        setup.objectives.reference_point()
        setup.space.check(find_layers(model))
        make_sampler(setup.sampler, seed=setup.seed, trials=setup.trials)
        opening.quiet()
        folder, url = opening.locate(path, storage)
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(url)
        queue = make_queue((seed.params, {ORIGIN: seed.origin}) for seed in seeds)
        kept = {f"{_NOTE}{key}": value for key, value in (notes or {}).items()}
        study_id = opening.create(folder, database, setup, {QUEUE: queue, **kept}, name)
        return cls(folder, database, study_id, setup, model)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: nn.Module | None = None,
        storage: str | None = None,
        name: str | None = None,
    ) -> Self:
        """Open a study, to read it or, with the model, to go on with it.

        Args:
            path: The run's folder, or its SQLite file.
            model: The reference model, needed to :meth:`ask`.
            storage: The URL given to :meth:`create`, if any.
            name: The name given to :meth:`create`, if any.

        Raises:
            RunError: there is no study there, or not one of ours.
        """
        opening.quiet()
        folder, url = opening.locate(path, storage)
        if storage is None and not Path(url.removeprefix("sqlite:///")).is_file():
            raise RunError(f"{path} holds no study: there is no file {opening.FILE} in it")
        database = Database(url)
        study_id, setup = opening.load(folder, database, name)
        return cls(folder, database, study_id, setup, model)

    @property
    def objectives(self) -> Objectives:
        """The objectives, resolved."""
        return self.setup.objectives

    @property
    def continues(self) -> bool:
        """Whether trials start from finished ones that are near."""
        return bool(self.setup.sweep.get("continuation"))

    @property
    def reference(self) -> dict[str, float]:
        """Metrics of the uncompressed model."""
        return dict(self.setup.reference)

    def enqueue(self, seeds: Iterable[Seed]) -> None:
        """Have candidates tried before the sampler is asked again, in this order."""
        for seed in seeds:
            self._mirror.enqueue(seed.params, {ORIGIN: seed.origin})

    def ask(self) -> PendingTrial:
        """Return the next trial to run: an enqueued candidate, or one the sampler suggests.

        Raises:
            RunError: the study was loaded without the model, or another process writes to it.
        """
        if self._model is None:
            raise RunError(f"{self.path}: the study was opened to be read: load it with the model")
        with self._mirror.asking(self._proposal()) as trial:
            candidate = self.setup.space.sample(trial, find_layers(self._model))
            pending = PendingTrial(
                number=trial.number,
                candidate=candidate,
                digest=candidate.digest(self._model),
                seed=derive_seed(self.setup.seed, trial.number, "trial"),
                origin=trial.user_attrs.get(ORIGIN, "sampler"),
                params=trial.params,
                start=self._start(candidate),
            )
            trial.set_user_attr(PENDING, pending.to_dict())
        return pending

    def _start(self, candidate: Candidate) -> int | None:
        """Return the finished trial that a candidate starts from, if the sweep continues trials."""
        if self._starts is None:
            return None
        return self._starts.choose(candidate, self._finished.values())

    def _proposal(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return what the proposer has for the next trial; what is enqueued goes first."""
        if self.proposer is None or self._mirror.waiting():
            return None
        records = self.records()
        found = self.proposer.propose(len(records), records)
        return None if found is None else (found.params, {ORIGIN: found.origin})

    def tell(self, record: TrialRecord) -> TrialRecord:
        """Store the result of a trial; return it as stored.

        A complete trial that breaks a hard limit or a constraint is stored as infeasible.

        Raises:
            RunError: no such trial is running.
        """
        if not record.status.finished:
            raise RunError(f"trial {record.number} is {record.status}: that is no result")
        broken = self._checker.broken(record.params)
        record = judge(record, self.objectives, broken)
        state, values = outcome(record, self.objectives)
        constraints = self.objectives.constraints(record.metrics)
        if self.excess is not None:
            constraints |= self.excess(record.metrics)
        constraints |= dict.fromkeys(map("constraint {}".format, broken), 1.0)
        self._mirror.finish(record.number, {RESULT: result_of(record)}, constraints, state, values)
        self._remember(record)
        return record

    def _remember(self, record: TrialRecord) -> None:
        self._finished[record.number] = record
        # a crash may be an accident: worth trying again; and a constraint is on parameters, of
        # which others may give the same candidate
        if record.status is not Status.CRASHED and not self._checker.broken(record.params):
            self._digests.setdefault(record.digest, record.number)

    def found(self) -> Found | None:
        """Return what a search for a target has found so far; None for a search of the front."""
        target = self.setup.sweep.get("target")
        if target is None:
            return None
        from autocompress.analysis.onesided import Goal, answer

        goal = Goal.parse(target, self.setup.sweep.get("minimize"))
        return answer(self.records(), self.objectives, goal, self.reference)

    def pending(self) -> list[PendingTrial]:
        """Return the trials without a result: after a crash, those to run again.

        They keep number, candidate and seed.
        """
        trials = self._mirror.trials()
        return [PendingTrial.read(trial) for trial in trials if trial.state == TrialState.RUNNING]

    def find(self, digest: str) -> TrialRecord | None:
        """Return a finished trial of the same candidate modulo symmetry; never a crashed one."""
        number = self._digests.get(digest)
        return None if number is None else self._finished[number]

    def answer(self, pending: PendingTrial) -> TrialRecord | None:
        """Give a trial a result where it need not run; return its record, None where it must.

        A candidate that breaks a constraint is infeasible; one equal to another has its result.
        """
        if self._checker.broken(pending.params):
            return self.tell(pending.record(Status.INFEASIBLE))
        twin = self.find(pending.digest)
        if twin is None:
            return None
        message = f"{SAME} trial {twin.number}, not run again"
        record = pending.record(twin.status, twin.metrics, message=message, hardware=twin.hardware)
        return self.tell(record)

    def records(self) -> list[TrialRecord]:
        """Return all trials by number, waiting and running ones too.

        Opened to be read, the study is read afresh: another process may be running it.
        """
        if self._model is None:
            self._mirror.reload()
        trials = self._mirror.trials()
        records = []
        for trial in trials[len(self._ended) :]:
            record = self._finished.get(trial.number)
            if record is None:
                record = read_record(trial)
                if record.status.finished:
                    self._remember(record)
            if record.status.finished and trial.number == len(self._ended):
                self._ended.append(record)
            else:
                records.append(record)
        return self._ended + records

    def front(self) -> Front:
        """Return the Pareto front of the trials so far, with its noise if some were repeated."""
        from autocompress.analysis.front import Front

        front = Front.from_records(self.records(), self.objectives, self.reference)
        return front.with_repeats(self.repeats())

    def set_test(self, number: int, value: float) -> None:
        """Remember a trial's accuracy on the test split, which the search never sees."""
        self.set_note(f"{_TEST}{number}", float(value))

    def tests(self) -> dict[int, float]:
        """Return the accuracies on the test split that are known, by trial number."""
        found = self._notes().items()
        return {int(k.removeprefix(_TEST)): v for k, v in found if k.startswith(_TEST)}

    def test(self, number: int) -> float | None:
        """Return a trial's accuracy on the test split, if it is known."""
        return self.tests().get(number)

    def set_repeat(self, repeat: Repeat) -> None:
        """Remember how a trial came out under another seed; it is no trial of its own."""
        self.set_note(repeat.key, repeat.to_dict())

    def repeats(self) -> dict[int, tuple[Repeat, ...]]:
        """Return how trials came out under other seeds, by trial number."""
        return by_trial(v for k, v in self._notes().items() if k.startswith(KEY))

    def set_note(self, key: str, value: Any) -> None:
        """Remember a JSON value that belongs to the run, such as its hardware."""
        with self._database.transaction():
            self._database.set_study_user_attr(self._study_id, f"{_NOTE}{key}", value)

    def note(self, key: str) -> Any:
        """Return what was remembered under a key, or None."""
        return self._notes().get(key)

    def _notes(self) -> dict[str, Any]:
        with self._database.reading():
            attrs = self._database.get_study_user_attrs(self._study_id)
        return {k.removeprefix(_NOTE): v for k, v in attrs.items() if k.startswith(_NOTE)}

    def close(self) -> None:
        """Let go of the database."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

"""The parts of a sweep: data, reference, study, executor."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from autocompress import data as datasets
from autocompress import models
from autocompress.analysis import format_value
from autocompress.analysis.hardware import HARDWARE
from autocompress.analysis.onesided import Goal
from autocompress.api import compress
from autocompress.compressed import load
from autocompress.config import Sweep
from autocompress.data import Data
from autocompress.driver import Driver, Enough
from autocompress.errors import RunError, unknown
from autocompress.executors import Executor
from autocompress.explore import halving
from autocompress.explore.claims import claimed
from autocompress.explore.database import Database, shown
from autocompress.explore.free import FreeMetrics
from autocompress.explore.given import given_seeds
from autocompress.explore.opening import Setup
from autocompress.explore.proposals import Proposer
from autocompress.explore.proposals.make import make_proposer
from autocompress.explore.proposals.onesided import PATIENCE
from autocompress.explore.record import TrialRecord
from autocompress.explore.study import Study
from autocompress.explore.trial import MODEL, ON_VALIDATION, TrialContext
from autocompress.layers import find_layers
from autocompress.limits import Limits
from autocompress.metrics import METRICS, fingerprint
from autocompress.observer import Observer
from autocompress.onesided import make_onesided
from autocompress.places import make_executor, take_home
from autocompress.plan import Plan
from autocompress.recipe import Candidate, Direct
from autocompress.reference import digest_of_model, reference_of
from autocompress.repeats import Repeater
from autocompress.runs import RunFolder, open_study
from autocompress.sensitivity import planning
from autocompress.sensitivity.table import Sensitivity

_ALWAYS = ("accuracy", "loss", "bytes", "ratio", "nonzeros", "params", "flops")
"""Metrics that cost little, so that one can ask for them later without having planned to."""


class Session:
    """The parts of a sweep, put together one after the other."""

    def __init__(self, sweep: Sweep, run: RunFolder, observer: Observer) -> None:
        self.sweep = sweep
        self.run = run
        self.observer = observer
        self.problem = ""  # why the trials ended too early, if they did
        self.space = sweep.load_space()
        objectives = sweep.load_objectives()
        metrics = METRICS | {metric.name: metric for metric in sweep.metrics}
        for name in objectives.names:
            if name not in metrics:
                raise unknown("metric", name, metrics, where=f"objectives {objectives.name!r}")
        if sweep.halving is not None:
            halving.check(objectives, metrics)
        self.goal = None
        self.patience: int | None = PATIENCE
        if sweep.target is not None:
            self.goal = Goal.parse(sweep.target, sweep.minimize)
            self.goal.check(metrics)
        self.limits = Limits(objectives, sweep.limits, metrics)
        own = (metric.name for metric in sweep.metrics)
        goal = (self.goal.target.metric, self.goal.minimize) if self.goal else ()
        needed = (*objectives.names, *self.limits.metrics, *goal, *own, *_ALWAYS)
        self.metrics = tuple(dict.fromkeys(needed))

    def load(self) -> None:
        """Load the data, and the model with whatever weights; check that the space fits it."""
        sweep = self.sweep
        if isinstance(sweep.data, Data):
            self.data = sweep.data if sweep.device == "auto" else sweep.data.to(sweep.device)
        else:
            self.observer.phase(f"loading data {sweep.data}")
            device = sweep.torch_device()
            self.data = datasets.load(sweep.data, root=sweep.data_root, device=device)
        if isinstance(sweep.model, str):
            self.model = models.build(sweep.model, self.data)
        else:
            self.model = copy.deepcopy(sweep.model).to(self.data.device).eval()
            models.check(self.model, self.data)
        self.space.check(find_layers(self.model))
        self.given = given_seeds(self.space, self.model, sweep.seeds)

    @property
    def context(self) -> TrialContext:
        """What trials share."""
        own = self.space.extensions()
        return TrialContext(self.model, self.data, self.sweep.latency, self.sweep.metrics, own)

    def resolved(self) -> dict[str, str]:
        """Return what, besides its settings, makes this sweep what it is."""
        digests = {"data_digest": self.data.digest}
        if not isinstance(self.sweep.model, str):
            digests["model_digest"] = digest_of_model(self.model)
        if self.sweep.storage is not None:
            digests["study"] = self.run.study_name()
        return digests

    def reach_storage(self) -> None:
        """Check that the database answers, before anything is done that takes long.

        Raises:
            RunError: it does not.
        """
        if self.sweep.storage is not None:
            self.observer.phase(f"connecting to {shown(self.sweep.storage)}")
            Database(self.sweep.storage).engine.dispose()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes off the run, and off its study where that is in a database.

        Raises:
            RunError: one is at it.
        """
        with self.run.locked(), ExitStack() as held:
            self.run.claim(self.sweep.to_dict(), self.resolved())
            if self.sweep.storage is not None:
                database = Database(self.sweep.storage)
                held.callback(database.engine.dispose)
                held.enter_context(claimed(database, self.run.study_name()))
            yield

    def load_reference(self) -> None:
        """Give the model the reference's weights: the run's own, or trained ones."""
        self.model = reference_of(
            self.sweep.model, self.model, self.data, self.run.reference, self.observer
        )

    def study(self) -> Study:
        """Open the run's study, or create it."""
        if self.sweep.storage is None and not self.run.study.is_file():
            return self.new_study()
        try:
            return open_study(self.run.path, self.sweep.storage, model=self.model)
        except RunError as error:
            # a process killed while creating it leaves a database without a study
            try:
                return self.new_study()
            except RunError:
                raise error from None

    def new_study(self) -> Study:
        """Create the run's study; it holds the reference's metrics and the first candidates."""
        self.observer.phase("measuring the reference")
        reference = self.measure_reference()
        objectives = self.limits.objectives.resolve(reference, self.data.classes)
        sweep = self.sweep
        setup = Setup(
            objectives=objectives,
            space=self.space,
            reference=reference,
            sampler=sweep.sampler,
            seed=sweep.seed,
            trials=sweep.trials,
            sweep={k: v for k, v in sweep.to_dict().items() if k not in ("space", "objectives")},
        )
        if self.goal is not None:
            self.goal.target.value(reference)  # a bound that cannot be is told before any trial
        first = self.beginning()
        notes: dict[str, Any] = {HARDWARE: fingerprint(self.data.device)}
        if first.table is not None:
            notes[planning.NOTE] = first.table.to_dict()
        given = [seed.candidate for seed in self.given]
        others = [] if self.goal else first.seeds  # where that goes is told trial by trial
        seeds = [*self.given, *(seed for seed in others if seed.candidate not in given)]
        storage = sweep.storage
        name = None if storage is None else self.run.study_name()
        return Study.create(
            self.run.path, setup, self.model, seeds=seeds, notes=notes, storage=storage, name=name
        )

    def beginning(self) -> planning.Beginning:
        """Return the first candidates, and the sensitivities that they may come from."""
        sweep = self.sweep
        how = "sensitivity" if self.goal else sweep.seeding
        say = self.observer.phase
        return planning.begin(how, self.space, self.model, self.data, sweep.trials, say=say)

    def measure_reference(self) -> dict[str, float]:
        """Return the metrics of the uncompressed model, measured the way of any other."""
        result = compress(self.model, Plan([]), Direct(), self.data)
        return self.context.measure(self.metrics, result)

    def executor(self, study: Study | None = None) -> Executor:
        """Return where trials run; on a cluster only those of a study."""
        return make_executor(self.sweep, self.context, study, self.observer.phase)

    def drive(self, study: Study) -> None:
        """Run the trials."""
        study.excess = self.limits.excess
        study.proposer = self.proposer(study)
        enough = self.prepare_target(study)
        take_home(self.sweep, self.run, study, self.observer.phase)
        with self.executor(study) as executor:
            driver = Driver(
                study,
                executor,
                self.run,
                total=self.sweep.trials,
                metrics=self.metrics,
                observer=self.observer,
                precheck=lambda pending: self.limits.precheck(pending, self.context),
                judge=self.limits.judge,
                halver=self.halver(study),
                enough=enough,
            )
            self.observer.begin(self.title(study), self.run.path, driver.tally)
            driver.run()
            self.problem = driver.tally.why_hopeless
            if self.sweep.repeats > 1:
                self.repeat(study, executor)

    def repeat(self, study: Study, executor: Executor) -> None:
        """Run the trials on and near the front again, under other seeds."""
        Repeater(
            study,
            executor,
            self.run,
            seeds=self.sweep.repeats,
            metrics=self.metrics,
            observer=self.observer,
        ).run()

    def proposer(self, study: Study) -> Proposer | None:
        """Return who proposes candidates before the sampler is asked; None: nobody."""
        table = study.note(planning.NOTE)
        return make_proposer(
            study.sampler,
            space=self.space,
            model=self.model,
            objectives=study.objectives,
            seed=self.sweep.seed,
            guess=Sensitivity.from_dict(table) if table else None,
        )

    def prepare_target(self, study: Study) -> Enough | None:
        """Have a search for a target propose the trials; return what tells that it may end."""
        ended = (r for r in study.records() if r.status.finished and not r.status.failed)
        ran = sum(record.folder is not None for record in ended)
        if self.goal is None or ran >= self.sweep.trials:
            return None
        self.observer.phase("looking for the path of the search")
        proposer = make_onesided(
            self.goal,
            context=self.context,
            space=self.space,
            table=Sensitivity.from_dict(study.note(planning.NOTE)),
            reference=study.reference,
            limits=self.limits,
            seed=self.sweep.seed,
            patience=self.patience,
        )
        study.proposer = proposer
        return proposer.enough

    def halver(self, study: Study) -> halving.Halver | None:
        """Return who stops trials that fall behind; None without halving."""
        if self.sweep.halving is None:
            return None
        told_by_steps = {*ON_VALIDATION, *halving.FROM_BITS}
        others = [name for name in study.objectives.names if name not in told_by_steps]
        shapes = FreeMetrics(self.model, self.data)

        def free(candidate: Candidate) -> dict[str, float]:
            known = shapes.of(candidate.plan, candidate.recipe)
            if all(name in known for name in others):
                return {name: known[name].value for name in others}
            direct = compress(self.model, candidate.plan, Direct(), self.data)
            return self.context.measure(others, direct)

        return halving.Halver(
            self.sweep.halving,
            study.objectives,
            self.model,
            seed=self.sweep.seed,
            free=free,
            records=study.records(),
        )

    def title(self, study: Study) -> str:
        """Return the sweep in a line."""
        reference = ", ".join(
            f"{name} {format_value(name, study.reference[name])}" for name in study.objectives.names
        )
        model = self.sweep.model
        name = model if isinstance(model, str) else type(model).__name__
        how = f"sampler {study.sampling}"
        if self.goal:
            how = f"smallest {self.goal.minimize} with {self.sweep.target}"
        return f"{name} on {self.data.name}: space {self.space.name}, {how}; reference {reference}"

    def test(self, record: TrialRecord) -> float:
        """Return a trial's accuracy on the test split."""
        if record.folder is None:
            raise RunError(f"trial {record.number} left no model")
        compressed = load(self.run.path / record.folder / MODEL, self.model)
        return compressed.evaluate(self.data.test).accuracy

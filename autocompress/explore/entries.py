"""Trials as Optuna stores them, and as we see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState

from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.lc import StepRecord
from autocompress.recipe import Candidate

PENDING = "pending"
RESULT = "result"
ORIGIN = "origin"
# what a sampler should learn to avoid; a crash says nothing about the candidate
_BAD = (
    Status.PRUNED,
    Status.INFEASIBLE,
    Status.DIVERGED,
    Status.OUT_OF_MEMORY,
    Status.TIMEOUT,
)


@dataclass(frozen=True)
class PendingTrial:
    """A trial that was asked for and has no result yet.

    Attributes:
        number: Its number in the study.
        candidate: What to compress, and how.
        digest: The candidate's digest modulo symmetry.
        seed: Seed of everything random in the trial.
        origin: Who proposed it, one of :data:`~autocompress.explore.record.ORIGINS`.
        params: The search space parameters that give the candidate.
        start: The finished trial it starts from; None for the reference.
    """

    number: int
    candidate: Candidate
    digest: str
    seed: int
    origin: str = "sampler"
    params: dict[str, Any] = field(default_factory=dict)
    start: int | None = None

    def record(
        self,
        status: Status = Status.RUNNING,
        metrics: Mapping[str, float] | None = None,
        *,
        seconds: float = 0.0,
        message: str = "",
        folder: str | None = None,
        steps: Sequence[StepRecord] = (),
        hardware: Mapping[str, str] | None = None,
    ) -> TrialRecord:
        """Return the record of this trial with a result."""
        return TrialRecord(
            number=self.number,
            status=status,
            candidate=self.candidate.to_dict(),
            metrics=dict(metrics or {}),
            seed=self.seed,
            seconds=seconds,
            digest=self.digest,
            message=message,
            origin=self.origin,
            params=dict(self.params),
            folder=folder,
            start=self.start,
            epochs=sum(step.epochs for step in steps),
            course=tuple((step.val_accuracy, step.val_loss, step.bits) for step in steps),
            hardware=dict(hardware or {}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored of it besides number and parameters."""
        candidate = self.candidate.to_dict()
        stored = {
            "candidate": candidate,
            "digest": self.digest,
            "seed": self.seed,
            "origin": self.origin,
        }
        return stored if self.start is None else stored | {"start": self.start}

    @classmethod
    def read(cls, trial: FrozenTrial) -> Self:
        """Read a running trial back."""
        stored = trial.user_attrs[PENDING]
        candidate = Candidate.from_dict(stored["candidate"], where=f"trial {trial.number}")
        digest, seed, origin = stored["digest"], stored["seed"], stored["origin"]
        params, start = dict(trial.params), stored.get("start")
        return cls(trial.number, candidate, digest, seed, origin, params, start)


def read_record(trial: FrozenTrial) -> TrialRecord:
    """Read a trial in any state back."""
    stored = trial.user_attrs.get(PENDING, {})
    values = {"origin": trial.user_attrs.get(ORIGIN, "sampler"), **stored}
    values["params"] = dict(trial.params) or dict(trial.system_attrs.get("fixed_params", {}))
    if trial.state == TrialState.WAITING:
        values["status"] = Status.WAITING
    elif trial.state == TrialState.RUNNING:
        values["status"] = Status.RUNNING
    elif RESULT in trial.user_attrs:
        values |= trial.user_attrs[RESULT]
    else:
        values |= {"status": Status.CRASHED, "message": "ended outside of autocompress"}
    return TrialRecord.from_dict({**values, "number": trial.number})


def result_of(record: TrialRecord) -> dict[str, Any]:
    """Return what is stored of a result."""
    data = record.to_dict()
    keys = ("status", "metrics", "seconds", "message", "folder", "epochs", "course", "hardware")
    return {key: data[key] for key in keys}


def judge(
    record: TrialRecord, objectives: Objectives, constraints: Iterable[str] = ()
) -> TrialRecord:
    """Return the record, infeasible instead of complete if it breaks a limit or a constraint.

    Args:
        record: A finished trial.
        objectives: Whose limits count.
        constraints: The space's constraints that the candidate breaks; an infeasible trial is told
            of them too.
    """
    if record.status not in (Status.COMPLETE, Status.INFEASIBLE):
        return record
    reasons = [f"constraint {text!r} is broken" for text in constraints]
    broken = objectives.violations(record.metrics) if record.status is Status.COMPLETE else {}
    if not broken and not reasons:
        return record
    for metric in broken:
        relation = "above" if objectives[metric].direction == "minimize" else "below"
        value, limit = record.metrics[metric], objectives[metric].limit
        reasons.append(f"{metric} {value:g} is {relation} the limit {limit:g}")
    message = "; ".join([*reasons, *([record.message] if record.message else [])])
    return dataclasses.replace(record, status=Status.INFEASIBLE, message=message)


def outcome(record: TrialRecord, objectives: Objectives) -> tuple[TrialState, list[float] | None]:
    """Return the state and values the sampler is told.

    Values are logarithms for objectives on a log scale, so that samplers see the scale the user
    thinks in. A complete or infeasible trial with all objectives has values. Other trials that say
    something bad of their candidate are "pruned", which samplers avoid; the rest have failed.
    """
    point = objectives.to_minimize(record.metrics)
    if point is not None and record.status in (Status.COMPLETE, Status.INFEASIBLE):
        signs = [-1.0 if item.direction == "maximize" else 1.0 for item in objectives.items]
        return TrialState.COMPLETE, [s * x for s, x in zip(signs, point, strict=True)]
    return (TrialState.PRUNED if record.status in _BAD else TrialState.FAIL), None

"""What a search for a target has found: the smallest trial that reaches it, or why none does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from autocompress.analysis.query import Limit, best
from autocompress.analysis.target import Target
from autocompress.analysis.units import format_kind, format_value, quantity
from autocompress.errors import ConfigError, unknown
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status, TrialRecord

if TYPE_CHECKING:
    from autocompress.metrics import Metric


@dataclass(frozen=True)
class Goal:
    """A target, and the metric to make small.

    Attributes:
        target: What another metric has to reach.
        minimize: The metric to make small.
    """

    target: Target
    minimize: str = "bytes"

    @classmethod
    def parse(cls, target: str, minimize: str | None = None) -> Self:
        """Read a goal as a sweep says it.

        Raises:
            ConfigError: the target cannot be read.
        """
        return cls(Target.parse(target), minimize or "bytes")

    def check(self, metrics: Mapping[str, Metric]) -> None:
        """Check that it can be searched for.

        What is made small must be known before any training, what has to be reached must not: the
        search compares sizes of candidates it has not trained.

        Args:
            metrics: All metrics there are, by name.

        Raises:
            ConfigError: naming key, value and what is accepted.
        """
        free = sorted(m.name for m in metrics.values() if m.free and m.direction == "minimize")
        for key, name in (("target", self.target.metric), ("minimize", self.minimize)):
            if name not in metrics:
                raise unknown("metric", name, metrics, where=key)
        if self.minimize not in free:
            raise ConfigError(
                f"minimize = {self.minimize!r}: accepted is a metric that is known before any "
                f"training, and better the smaller it is: {', '.join(free)}"
            )
        wanted = metrics[self.target.metric]
        if wanted.free:
            raise ConfigError(
                f"target = {self.target.text!r}: {wanted.name} is known before any training, so "
                f"that this is a limit: give it as limits.{wanted.name} (--limit "
                f"{wanted.name}=...), and as target what training decides, such as accuracy"
            )
        better = ">=" if wanted.direction == "maximize" else "<="
        if self.target.operator != better:
            raise ConfigError(
                f"target = {self.target.text!r}: {wanted.name} is to "
                f"{wanted.direction}: accepted is {wanted.name}{better}..."
            )


@dataclass(frozen=True)
class Found:
    """The answer of a search for a target; true when there is a trial that reaches it.

    Attributes:
        goal: What was searched for.
        bound: The target's value, in its metric's unit.
        reference: Metrics of the uncompressed model.
        record: The smallest trial that reaches the target within every hard limit, None if none.
        samples: How many trials were run.
        needed: How many of them until that one was found, itself included; 0 if none.
        nearest: Without one, the trial that came nearest to the target.
        shortfall: By how much that one misses it, in the metric's unit; 0 if nothing is missing.
        reason: All of it in words, a few lines.
    """

    goal: Goal
    bound: float
    reference: Mapping[str, float]
    record: TrialRecord | None
    samples: int
    needed: int
    nearest: TrialRecord | None
    shortfall: float
    reason: str

    def __bool__(self) -> bool:
        return self.record is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        shown = self.record or self.nearest
        return {
            "target": self.goal.target.text,
            "minimize": self.goal.minimize,
            "bound": self.bound,
            "reference": dict(self.reference),
            "found": self.record is not None,
            "samples": self.samples,
            "needed": self.needed,
            "trial": shown.number if shown else None,
            "metrics": dict(shown.metrics) if shown else {},
            "shortfall": self.shortfall,
            "reason": self.reason,
        }


def answer(
    records: Iterable[TrialRecord],
    objectives: Objectives,
    goal: Goal,
    reference: Mapping[str, float],
) -> Found:
    """Return what a search for a target has found so far.

    Args:
        records: All trials of the study.
        objectives: Its objectives; their hard limits hold too.
        goal: What was searched for.
        reference: Metrics of the uncompressed model.

    Raises:
        ConfigError: a bound relative to what the reference was not measured on.
    """
    records = sorted(records, key=lambda record: record.number)
    bound = goal.target.value(reference)
    limit = Limit(goal.target.metric, goal.target.operator, bound)
    ran = [r for r in records if r.status.finished and (r.folder is not None or r.seconds > 0)]
    measured = [r for r in ran if _finite(r, goal.target.metric)]
    winner = None
    if any(record.status is Status.COMPLETE for record in measured):
        winner = best(records, objectives, [limit], by=goal.minimize).record
    needed = sum(record.number <= winner.number for record in ran) if winner else 0
    base = Found(goal, bound, reference, winner, len(ran), max(needed, bool(winner)), None, 0.0, "")
    if winner is not None:
        return _with(base, _success(base, winner))
    near = _nearest(measured, limit)
    short = max(0.0, _missing(near, limit)) if near else 0.0
    return _with(base, _failure(base, ran, near, limit), near, short)


def _with(
    base: Found, reason: Sequence[str], nearest: TrialRecord | None = None, shortfall: float = 0.0
) -> Found:
    values = {name: getattr(base, name) for name in base.__dataclass_fields__}
    told = {"nearest": nearest, "shortfall": shortfall, "reason": "\n".join(reason)}
    return Found(**{**values, **told})


def _finite(record: TrialRecord, metric: str) -> bool:
    return math.isfinite(record.metrics.get(metric, math.nan))


def _missing(record: TrialRecord, limit: Limit) -> float:
    """Return by how much a record misses a limit, in its metric's unit; <= 0 if it does not."""
    beyond = record.metrics[limit.metric] - limit.value
    return beyond if limit.operator == "<=" else -beyond


def _nearest(measured: Sequence[TrialRecord], limit: Limit) -> TrialRecord | None:
    """Return the trial nearest to the target, of those within the hard limits if there are any."""
    within = [record for record in measured if record.status is Status.COMPLETE]
    return min(within or measured, key=lambda r: (_missing(r, limit), r.number), default=None)


def _success(found: Found, winner: TrialRecord) -> list[str]:
    size, metric = found.goal.minimize, found.goal.target.metric
    lines = [
        f"smallest {size} with {_wanted(found)}: {format_value(size, winner.metrics[size])}, "
        f"trial {winner.number}, {metric} {format_value(metric, winner.metrics[metric])}",
        f"found with {_count(found.needed)} of {found.samples}",
    ]
    if found.reference.get(size) and winner.metrics[size]:
        times = format_kind("ratio", found.reference[size] / winner.metrics[size])
        lines[-1] += f"; the reference has {size} {format_value(size, found.reference[size])}, "
        lines[-1] += f"{times} as much"
    return lines


def _failure(
    found: Found, ran: Sequence[TrialRecord], near: TrialRecord | None, limit: Limit
) -> list[str]:
    lines = [f"no trial of {_count(found.samples)} has {_wanted(found)}"]
    if near is None:
        return [*lines, "none of them has a result to compare"]
    missing = _missing(near, limit)
    value = format_value(limit.metric, near.metrics[limit.metric])
    size = found.goal.minimize
    if _finite(near, size):
        value += f" and {size} {format_value(size, near.metrics[size])}"
    if missing > 0:
        lines.append(
            f"what binds is {limit}: nearest is trial {near.number} with {limit.metric} {value}"
            f", {_amount(limit.metric, missing)} short of it"
        )
    broken = [r for r in ran if r.status is Status.INFEASIBLE and _finite(r, limit.metric)]
    reaching = [r for r in broken if _missing(r, limit) <= 0]
    if reaching:
        smallest = min(reaching, key=lambda r: (r.metrics.get(size, math.inf), r.number))
        lines.append(
            f"a hard limit binds: trial {smallest.number} reaches the target, and "
            f"{smallest.message}"
        )
    return lines


def _wanted(found: Found) -> str:
    """Write the target: ``accuracy >= 97.50 % (ref-0.5%, the reference has 98.00 %)``."""
    target = found.goal.target
    text = target.describe(found.reference)
    if not target.bound.operation:
        return text
    base = format_value(target.metric, found.reference[target.metric])
    relative = target.text.partition(target.operator)[2]
    return f"{text} ({relative}, the reference has {base})"


def _amount(metric: str, missing: float) -> str:
    if quantity(metric).kind == "fraction":
        return f"{100 * missing:.2f} points"
    return format_value(metric, missing)


def _count(samples: int) -> str:
    return f"{samples} sample{'' if samples == 1 else 's'}"

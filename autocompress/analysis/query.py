"""The best trial under a budget, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from autocompress.analysis.target import Bound
from autocompress.analysis.units import format_value
from autocompress.errors import ConfigError, unknown
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord

_OPERATORS = {"<=": "<=", "max": "<=", ">=": ">=", "min": ">="}


class Limit(NamedTuple):
    """One limit: ``Limit("bytes", "<=", 20_000)``; the operator is ``"<="`` or ``">="``."""

    metric: str
    operator: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {format_value(self.metric, self.value)}"

    def excess(self, record: TrialRecord) -> float:
        """Return how far a record is beyond the limit, relative to it; <= 0 means it is kept."""
        beyond = record.metrics[self.metric] - self.value
        return (beyond if self.operator == "<=" else -beyond) / (abs(self.value) or 1.0)


Limits: TypeAlias = Mapping[str, tuple[str, float | str]] | Iterable[Limit]


@dataclass(frozen=True)
class Answer:
    """What a query found; true when there is a record.

    Attributes:
        record: The best trial, None when none keeps every limit.
        reason: How it was chosen, or why there is none: which limits bind, and what came nearest.
        nearest: For each binding limit's metric, the trial nearest to keeping it.
    """

    record: TrialRecord | None
    reason: str
    nearest: Mapping[str, TrialRecord] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.record is not None


def best(
    records: Iterable[TrialRecord],
    objectives: Objectives,
    limits: Limits = (),
    *,
    by: str | None = None,
    reference: Mapping[str, float] | None = None,
) -> Answer:
    """Return the best complete trial within some limits.

    "Best" is by one metric: ``by``, or else the first objective that no limit is put on, or
    the first of all when every one has a limit. So ``accuracy >= 0.97`` gives the smallest model
    that accurate, ``bytes <= 20 KB`` the most accurate one that small. Ties go to the remaining
    objectives without a limit, then those with one, then the smaller trial number.

    Args:
        records: Trials in any state; those with a missing or non-finite value are passed over.
        objectives: What was optimized; their hard limits hold too.
        limits: ``{"bytes": ("<=", "20KB"), "accuracy": (">=", 0.97)}`` (``"max"``/``"min"`` are
            accepted too), or :class:`Limit` values. Metrics need not be objectives. A value may be
            relative to the reference's: ``"ref-0.5%"``, ``"ref*0.1"``, see
            :class:`~autocompress.analysis.target.Bound`.
        by: The metric that decides: an objective, or any built-in metric of the trials.
        reference: Metrics of the uncompressed model, for relative limits.

    Raises:
        ConfigError: an operator or value that cannot be read, or an unknown metric or objective.
    """
    complete = [record for record in records if record.status is Status.COMPLETE]
    asked = _read(limits, complete, objectives, reference or {})
    order = _order(objectives, {limit.metric for limit in asked}, by)
    decider = _decider(objectives, complete, order[0])
    usable = [record for record in complete if _usable(record, objectives, asked, decider)]
    if not usable:
        return Answer(None, _nothing(len(complete)))
    held = [record for record in usable if all(limit.excess(record) <= 0 for limit in asked)]
    if not held:
        return _explain(usable, asked)

    def key(record: TrialRecord) -> tuple[float, ...]:
        rest = (objectives[m].coordinate(record.metrics[m]) for m in order if m in objectives.names)
        return (decider.coordinate(record.metrics[decider.metric]), *rest, record.number)

    winner = min(held, key=key)
    deciding = decider.metric
    among = " and ".join(map(str, asked)) or "no limits"
    value = format_value(deciding, winner.metrics[deciding])
    return Answer(
        winner,
        f"trial {winner.number} has the best {deciding}, {value}, "
        f"of the {len(held)} of {len(usable)} measured trials with {among}",
    )


def _read(
    limits: Limits,
    records: Sequence[TrialRecord],
    objectives: Objectives,
    reference: Mapping[str, float],
) -> list[Limit]:
    """Return checked limits."""
    if isinstance(limits, Mapping):
        given: list[tuple[str, str, float | str]] = [
            (metric, operator, value) for metric, (operator, value) in limits.items()
        ]
    else:
        given = [(limit.metric, limit.operator, limit.value) for limit in limits]
    known = set(objectives.names).union(*(record.metrics for record in records))
    result = []
    for metric, operator, value in given:
        if metric not in known:
            raise unknown("metric", metric, known, where="limits")
        if operator not in _OPERATORS:
            raise ConfigError(f"limits.{metric}: {operator!r} is neither '<=' nor '>='")
        where = f"limits.{metric}"
        number = Bound.parse(value, where=where).value(metric, reference, where=where)
        result.append(Limit(metric, _OPERATORS[operator], number))
    return result


def _order(objectives: Objectives, limited: set[str], by: str | None) -> list[str]:
    """Return the metrics' names in the order in which they decide."""
    order = sorted(objectives.names, key=lambda name: (name != by, name in limited))
    return order if by is None or by in objectives.names else [by, *order]


def _decider(objectives: Objectives, records: Sequence[TrialRecord], name: str) -> Objective:
    """Return the metric that decides, with its direction."""
    if name in objectives.names:
        return objectives[name]
    from autocompress.metrics import METRICS

    measured = {metric for record in records for metric in record.metrics}
    known = (measured & METRICS.keys()) | set(objectives.names)
    if name not in known:
        raise unknown("metric", name, known, where="by")
    return Objective(name, METRICS[name].direction)


def _usable(
    record: TrialRecord, objectives: Objectives, asked: Sequence[Limit], decider: Objective
) -> bool:
    if objectives.to_minimize(record.metrics) is None or objectives.violations(record.metrics):
        return False
    needed = [decider.metric, *(limit.metric for limit in asked)]
    return all(math.isfinite(record.metrics.get(name, math.nan)) for name in needed)


def _nothing(complete: int) -> str:
    if not complete:
        return "no trial is complete yet"
    return f"none of the {complete} complete trials has every metric that is asked for"


def _explain(usable: Sequence[TrialRecord], asked: Sequence[Limit]) -> Answer:
    """Say which limits bind: those no trial keeps, or else those that only conflict."""
    hopeless = [x for x in asked if all(x.excess(record) > 0 for record in usable)]
    binding = hopeless or list(asked)
    nearest: dict[str, TrialRecord] = {}
    parts = []
    for limit in binding:
        others = [x for x in asked if x is not limit]
        pool = [r for r in usable if all(x.excess(r) <= 0 for x in others)]
        among = " of those that keep the other limits" if pool and others else ""
        if not pool and not hopeless:
            continue  # giving this limit up alone would not help
        closest = min(pool or usable, key=lambda r: (limit.excess(r), r.number))
        nearest[limit.metric] = closest
        value = format_value(limit.metric, closest.metrics[limit.metric])
        fails = "no trial keeps" if limit in hopeless else "what binds is"
        parts.append(f"{fails} {limit}; nearest{among} is trial {closest.number} with {value}")
    wanted = " and ".join(map(str, asked))
    if not parts:
        parts = ["no single limit is to blame: giving up any one of them would not be enough"]
    return Answer(
        None, f"none of {len(usable)} measured trials has {wanted}: {'; '.join(parts)}", nearest
    )

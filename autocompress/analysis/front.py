"""The Pareto front of a study's trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from autocompress.analysis.hypervolume import Points, hypervolume, nondominated
from autocompress.analysis.knee import knee
from autocompress.analysis.noise import Noise, measure_noise
from autocompress.analysis.query import Answer, Limits, best
from autocompress.analysis.text import plan_text
from autocompress.analysis.units import format_value
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.repeats import Repeat

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Front:
    """The non-dominated trials, and why every other one is not among them.

    Attributes:
        records: Trials on the front, the best of the first objective first.
        left_out: For every other trial's number, why it is not on the front.
        objectives: What was optimized.
        reference: Metrics of the uncompressed model.
        considered: All trials the front was taken from, by number.
        ranked: Those of them that could be ranked, by number.
        noise: What runs under other seeds say of it; None if there are none.
    """

    records: tuple[TrialRecord, ...]
    left_out: Mapping[int, str]
    objectives: Objectives
    reference: Mapping[str, float] = field(default_factory=dict)
    considered: tuple[TrialRecord, ...] = ()
    ranked: tuple[TrialRecord, ...] = ()
    noise: Noise | None = None

    def __repr__(self) -> str:
        numbers = ", ".join(str(record.number) for record in self.records) or "none"
        return f"Front({self.objectives.name}: {numbers}, of {len(self.considered)} trials)"

    @classmethod
    def from_records(
        cls,
        records: Iterable[TrialRecord],
        objectives: Objectives,
        reference: Mapping[str, float] | None = None,
    ) -> Front:
        """Take the front of some trials.

        Only complete trials within every hard limit whose objectives are all present and finite
        are ranked. Of trials with equal objectives the one with the smallest number is kept.

        Args:
            records: Trials in any state and order.
            objectives: What to rank by; need not be resolved.
            reference: Metrics of the uncompressed model, for ratios and plots.
        """
        considered = tuple(sorted(records, key=lambda record: record.number))
        left_out: dict[int, str] = {}
        ranked: list[TrialRecord] = []
        for record in considered:
            reason = why_unranked(record, objectives)
            if reason:
                left_out[record.number] = reason
            else:
                ranked.append(record)
        points = points_of(ranked, objectives)
        on_front = nondominated(points)
        left_out |= _dominated_by(ranked, points, on_front)
        order = sorted(np.flatnonzero(on_front), key=lambda row: float(points[row, 0]))
        members = tuple(ranked[row] for row in order)
        return cls(members, left_out, objectives, dict(reference or {}), considered, tuple(ranked))

    def with_repeats(self, repeats: Mapping[int, Sequence[Repeat]]) -> Front:
        """Return the front with what repeats say of it; its members stay the same.

        Args:
            repeats: Runs under other seeds, by trial number.
        """
        return replace(self, noise=measure_noise(self, repeats) if repeats else None)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self.records)

    def points(self) -> Points:
        """Return the records' coordinates to minimise, float64, shape (records, objectives)."""
        return points_of(self.records, self.objectives)

    def hypervolume(self) -> float:
        """Return the volume between the front and the objectives' stored reference point.

        Measured in the coordinates the objectives minimise (log10 for the log scale), so its unit
        is their product: accuracy times powers of ten of size, say. A record that is not better
        than the reference point in every objective contributes nothing.

        Raises:
            ConfigError: the objectives' reference point is not resolved to numbers.
        """
        return hypervolume(self.points(), self.objectives.reference_point())

    def knee(self) -> TrialRecord | None:
        """Return the knee, or None if the front has none; see :func:`analysis.knee.knee`."""
        row = knee(self.points())
        return None if row is None else self.records[row]

    def best(self, limits: Limits, *, by: str | None = None) -> Answer:
        """Return the best trial within some limits; see :func:`autocompress.analysis.best`."""
        return best(self.considered, self.objectives, limits, by=by, reference=self.reference)

    def to_frame(self) -> pd.DataFrame:
        """Return the front as a table, a row a record.

        Columns: ``number``, ``status``, ``origin``, every metric under its own name,
        ``<objective>_vs_reference`` (how many times better than the uncompressed model: reference
        over value when minimized, value over reference when maximized), ``plan``, ``seconds``.
        With repeats also ``seeds``, ``<objective>_mean``, ``_low`` and ``_high`` (the ends of its
        confidence interval), ``p_nondominated``: see :mod:`autocompress.analysis.noise`.
        """
        import pandas as pd

        metrics = metric_names(self.records, self.objectives)
        columns: dict[str, list[object]] = {
            "number": [record.number for record in self],
            "status": [record.status.value for record in self],
            "origin": [record.origin for record in self],
        }
        for name in metrics:
            columns[name] = [record.metrics.get(name, math.nan) for record in self]
        for item in self.objectives.items:
            gains: list[object] = [gain(item, record.metrics, self.reference) for record in self]
            columns[f"{item.metric}_vs_reference"] = gains
        if self.noise is not None:
            columns |= self.noise.columns([record.number for record in self], self.objectives)
        columns["plan"] = [plan_text(record.candidate) for record in self]
        columns["seconds"] = [record.seconds for record in self]
        return pd.DataFrame(columns)


def points_of(records: Iterable[TrialRecord], objectives: Objectives) -> Points:
    """Return rankable records' coordinates to minimise, shape (records, objectives)."""
    rows = [objectives.to_minimize(record.metrics) for record in records]
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(objectives.items))


def why_unranked(record: TrialRecord, objectives: Objectives) -> str:
    """Return why a trial cannot be ranked, or an empty text if it can."""
    if record.status is not Status.COMPLETE:
        return record.status.value + (f": {record.message}" if record.message else "")
    for item in objectives.items:
        value = record.metrics.get(item.metric)
        if value is None:
            return f"missing {item.metric}"
        if not math.isfinite(value):
            return f"non-finite {item.metric}: {value}"
        if not math.isfinite(item.coordinate(value)):
            return f"{item.metric} = {value:g} cannot be on a log scale"
    for metric in objectives.violations(record.metrics):
        limit = objectives[metric].limit or 0.0
        side = "over" if objectives[metric].direction == "minimize" else "under"
        return f"{side} the hard limit {metric} {format_value(metric, limit)}"
    return ""


def gain(item: Objective, metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Return how many times better than the reference a value is; NaN when that has no meaning."""
    value, base = metrics.get(item.metric, math.nan), reference.get(item.metric, math.nan)
    over, under = (base, value) if item.direction == "minimize" else (value, base)
    return over / under if under else math.nan


def metric_names(records: Iterable[TrialRecord], objectives: Objectives) -> list[str]:
    """Return the objectives' metrics, then every other metric found, in order of appearance."""
    found = dict.fromkeys(objectives.names)
    for record in records:
        found |= dict.fromkeys(record.metrics)
    return list(found)


def _dominated_by(
    ranked: list[TrialRecord], points: Points, on_front: np.ndarray
) -> dict[int, str]:
    """Say for each trial off the front which trial on it is nowhere worse."""
    members = np.flatnonzero(on_front)
    front = points[members]
    reasons = {}
    for row in np.flatnonzero(~on_front):
        nowhere_worse = (front <= points[row]).all(axis=1)
        winner = members[int(nowhere_worse.argmax())]
        equal = bool((points[winner] == points[row]).all())
        verb = "same objectives as" if equal else "dominated by"
        reasons[ranked[row].number] = f"{verb} trial {ranked[winner].number}"
    return reasons

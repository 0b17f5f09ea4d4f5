"""Hard limits of a sweep, checked before training where that is possible."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from autocompress.analysis import format_value
from autocompress.api import compress
from autocompress.errors import unknown
from autocompress.explore.entries import PendingTrial
from autocompress.explore.free import FreeMetrics, Known
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.trial import TrialContext
from autocompress.metrics import Metric
from autocompress.recipe import Direct


class Limits:
    """The limits of the objectives and those of the sweep itself.

    Args:
        objectives: What is optimized, with hard limits or without.
        limits: Limits by metric, of objectives or of any other metric: at most this for a metric
            that is minimized, at least this for one that is maximized.
        metrics: All metrics there are, by name.

    Attributes:
        objectives: The objectives with the limits that are theirs.
        free: The limited metrics that direct compression tells before any training, if shapes
            alone do not.

    Raises:
        UnknownName: a limit on something that is no metric.
    """

    def __init__(
        self, objectives: Objectives, limits: Mapping[str, float], metrics: Mapping[str, Metric]
    ) -> None:
        for name in limits:
            if name not in metrics:
                raise unknown("metric", name, metrics, where="limits")
        own = {name: value for name, value in limits.items() if name in objectives.names}
        self.objectives = objectives.with_limits(own)
        others = {name: value for name, value in limits.items() if name not in own}
        self._bounds = {
            item.metric: (item.direction, item.limit)
            for item in self.objectives.items
            if item.limit is not None
        }
        self._bounds |= {name: (metrics[name].direction, value) for name, value in others.items()}
        self.free = tuple(name for name in self._bounds if metrics[name].free)
        self._known: tuple[TrialContext, FreeMetrics] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a limit."""
        return tuple(self._bounds)

    def broken(self, metrics: Mapping[str, float]) -> list[str]:
        """Return what is wrong with some metrics, one text a limit; unknown ones break none."""
        reasons = []
        for name, (direction, limit) in self._bounds.items():
            if name in metrics and not _kept(direction, limit, metrics[name]):
                value, bound = format_value(name, metrics[name]), format_value(name, limit)
                relation = "above" if direction == "minimize" else "below"
                reasons.append(f"{name} {value} is {relation} {bound}")
        return reasons

    def excess(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return by how much each known metric exceeds its limit, relative to it (<= 0: kept)."""
        found = {}
        for name, (direction, limit) in self._bounds.items():
            value = metrics.get(name, math.nan)
            beyond = value - limit if direction == "minimize" else limit - value
            if not math.isnan(beyond):
                found[name] = beyond / (abs(limit) or 1.0)
        return found

    def judge(self, record: TrialRecord) -> TrialRecord:
        """Return a complete trial that breaks a limit as infeasible."""
        reasons = self.broken(record.metrics) if record.status is Status.COMPLETE else []
        if not reasons:
            return record
        return dataclasses.replace(record, status=Status.INFEASIBLE, message="; ".join(reasons))

    def precheck(self, pending: PendingTrial, context: TrialContext) -> TrialRecord | None:
        """Return the record of a trial that need not run, since it breaks a limit anyway.

        Shapes alone mostly say so, or that all limits are kept; see
        :class:`.explore.free.FreeMetrics`. In between direct compression decides. The size of a
        trained model differs a little from that of the directly compressed one, as positions do:
        the limit holds for both.
        """
        if not self.free:
            return None
        plan, recipe = pending.candidate.plan, pending.candidate.recipe
        own = {metric.name for metric in context.metrics}  # may go by the name of a built-in one
        found = self._free(context).of(plan, recipe)
        known = {name: number for name, number in found.items() if name not in own}
        least = {name: self._best(name, known[name]) for name in self.free if name in known}
        reasons = self.broken(least)
        metrics = {name: number.value for name, number in known.items() if name in least}
        if not reasons:
            undecided = [n for n in self.free if n not in known or not self._safe(n, known[n])]
            if not undecided:
                return None
            compressed = compress(context.model, plan, Direct(), context.data, seed=pending.seed)
            # its file is to name the recipe that it would be trained by
            compressed = dataclasses.replace(compressed, recipe=recipe)
            measured = context.measure(undecided, compressed)
            metrics, reasons = metrics | measured, self.broken(measured)
        if not reasons:
            return None
        message = f"{'; '.join(reasons)}, known before training"
        return pending.record(Status.INFEASIBLE, metrics, message=message)

    def _free(self, context: TrialContext) -> FreeMetrics:
        if self._known is None or self._known[0].model is not context.model:
            self._known = context, FreeMetrics(context.model, context.data)
        return self._known[1]

    def _best(self, name: str, number: Known) -> float:
        """Return the best a metric can be."""
        return number.low if self._bounds[name][0] == "minimize" else number.high

    def _safe(self, name: str, number: Known) -> bool:
        """Whether a metric keeps its limit at worst."""
        direction, limit = self._bounds[name]
        worst = number.high if direction == "minimize" else number.low
        return _kept(direction, limit, worst)


def _kept(direction: str, limit: float, value: float) -> bool:
    # NaN keeps no limit
    return value <= limit if direction == "minimize" else value >= limit

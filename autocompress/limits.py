"""Hard limits of a sweep, checked before training where that is possible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from autocompress.analysis import format_value
from autocompress.api import compress
from autocompress.errors import unknown
from autocompress.explore.entries import PendingTrial
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
        free: The limited metrics that direct compression tells before any training.

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

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a limit."""
        return tuple(self._bounds)

    def broken(self, metrics: Mapping[str, float]) -> list[str]:
        """Return what is wrong with some metrics, one text a limit; unknown ones break none."""
        reasons = []
        for name, (direction, limit) in self._bounds.items():
            if name not in metrics:
                continue
            below = direction == "minimize"
            kept = metrics[name] <= limit if below else metrics[name] >= limit
            if not kept:  # NaN keeps no limit
                value, bound = format_value(name, metrics[name]), format_value(name, limit)
                reasons.append(f"{name} {value} is {'above' if below else 'below'} {bound}")
        return reasons

    def judge(self, record: TrialRecord) -> TrialRecord:
        """Return a complete trial that breaks a limit as infeasible."""
        reasons = self.broken(record.metrics) if record.status is Status.COMPLETE else []
        if not reasons:
            return record
        return dataclasses.replace(record, status=Status.INFEASIBLE, message="; ".join(reasons))

    def precheck(self, pending: PendingTrial, context: TrialContext) -> TrialRecord | None:
        """Return the record of a trial that breaks a limit already by direct compression.

        The size of a trained model differs a little from that of the directly compressed one, as
        entropy-coded positions do: the limit holds for both.
        """
        if not self.free:
            return None
        compressed = compress(
            context.model, pending.candidate.plan, Direct(), context.data, seed=pending.seed
        )
        metrics = context.measure(self.free, compressed)
        reasons = self.broken(metrics)
        if not reasons:
            return None
        message = f"{'; '.join(reasons)}, known before training"
        return pending.record(Status.INFEASIBLE, metrics, message=message)

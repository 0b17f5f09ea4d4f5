"""What a Pareto plot shows, computed before anything is drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autocompress.analysis.front import Front
from autocompress.analysis.units import Kind, quantity
from autocompress.report.series import (
    TRIAL,
    Bar,
    Series,
    bars_of,
    best_so_far,
    series,
    staircase,
    tested_series,
)
from autocompress.report.view import view_range

__all__ = ["TRIAL", "AxisInfo", "Bar", "ParetoInfo", "Series", "pairs", "pareto_info"]


class AxisInfo(NamedTuple):
    """One axis: its metric (or ``"trial"``), words, kind of numbers, scale and what is better."""

    metric: str
    label: str
    kind: Kind
    log: bool
    minimize: bool


class ParetoInfo(NamedTuple):
    """All a Pareto plot of two objectives says.

    Attributes:
        x: The horizontal axis.
        y: The vertical axis.
        front: Trials on the front (of all the objectives).
        line: The staircase through those that are non-dominated in these two objectives; with a
            single objective, the best so far.
        dominated: Ranked trials off the front.
        test: The front's trials with the test split's accuracy in place of the validation's.
        reference: The uncompressed model; x is None when the axis is the trial number.
        knee: The front's knee, if it has one.
        statuses: Number of trials by status; ``"not ranked"`` are complete ones that lack a
            metric or break a hard limit.
        limits: The view, ``((x low, x high), (y low, y high))``.
        outside: Number of dominated trials beyond the view.
        bars: The front's confidence intervals, where trials were run under several seeds.
    """

    x: AxisInfo
    y: AxisInfo
    front: Series
    line: Series
    dominated: Series
    test: Series
    reference: tuple[float | None, float] | None
    knee: Series
    statuses: Mapping[str, int]
    limits: tuple[tuple[float, float], tuple[float, float]]
    outside: int
    bars: tuple[Bar, ...] = ()


def pairs(front: Front) -> list[tuple[str, str]]:
    """Return every (x, y) worth a plot: all pairs of objectives, the earlier one vertical."""
    names = front.objectives.names
    if len(names) == 1:
        return [(TRIAL, names[0])]
    return [(x, y) for i, y in enumerate(names) for x in names[i + 1 :]]


def pareto_info(
    front: Front,
    x: str | None = None,
    y: str | None = None,
    *,
    test: Mapping[int, float] | None = None,
) -> ParetoInfo:
    """Compute what a Pareto plot shows.

    Args:
        front: The front and the trials it was taken from.
        x: Objective of the horizontal axis; default: the second one, or the trial number if
            there is only one.
        y: Objective of the vertical axis; default: the first one that is not ``x``.
        test: Accuracy on the test split, a fraction, by trial number.

    Raises:
        UnknownName: ``x`` or ``y`` is not an objective.
    """
    names = front.objectives.names
    if x is None:
        x = next(
            (name for name in names[1:] if name != y),
            names[0] if y not in (names[0], None) else TRIAL,
        )
    y = y or next((name for name in names if name != x), names[0])
    axis_x, axis_y = _axis(front, x), _axis(front, y)
    members = {record.number for record in front}
    on_front = series(front, x, y)
    dominated = series((r for r in front.ranked if r.number not in members), x, y)
    line = best_so_far(front.ranked, front.objectives[y]) if x == TRIAL else staircase(front, x, y)
    tested = tested_series(on_front, y, test or {})
    knee = front.knee()
    reference = _reference(front, x, y)
    bars = bars_of(front, x, y)
    limits = _view(axis_x, axis_y, on_front, dominated, tested, reference, bars)
    (left, right), (bottom, top) = limits
    inside = sum(
        left <= a <= right and bottom <= b <= top
        for a, b in zip(dominated.x, dominated.y, strict=True)
    )
    return ParetoInfo(
        axis_x,
        axis_y,
        on_front,
        line,
        dominated,
        tested,
        reference,
        series([knee] if knee else [], x, y),
        _statuses(front),
        limits,
        len(dominated.x) - inside,
        bars,
    )


def _axis(front: Front, metric: str) -> AxisInfo:
    if metric == TRIAL:
        return AxisInfo(TRIAL, "trial number", "plain", log=False, minimize=True)
    item, what = front.objectives[metric], quantity(metric)
    return AxisInfo(
        metric, what.label, what.kind, item.scale == "log", item.direction == "minimize"
    )


def _reference(front: Front, x: str, y: str) -> tuple[float | None, float] | None:
    def usable(metric: str) -> bool:
        value = front.reference.get(metric, math.nan)
        return math.isfinite(front.objectives[metric].coordinate(value))

    if not usable(y) or (x != TRIAL and not usable(x)):
        return None
    return (None if x == TRIAL else front.reference[x], front.reference[y])


def _statuses(front: Front) -> dict[str, int]:
    counts = Counter(record.status.value for record in front.considered)
    unranked = counts["complete"] - len(front.ranked)
    counts["complete"] = len(front.ranked)
    counts["not ranked"] = unranked
    return {name: count for name, count in counts.items() if count}


def _view(
    x: AxisInfo,
    y: AxisInfo,
    front: Series,
    dominated: Series,
    test: Series,
    reference: tuple[float | None, float] | None,
    bars: Sequence[Bar],
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return limits that show the front well; what is far from it may fall outside."""
    core_x, core_y = [*front.x], [*front.y, *test.y]
    if reference is not None:
        core_x += [] if reference[0] is None else [reference[0]]
        core_y += [reference[1]]
    rest_x = [*dominated.x, *(end for bar in bars for end in bar.x_ends)]
    rest_y = [*dominated.y, *(end for bar in bars for end in bar.y_ends)]
    few = len(front.x) < 3 or x.metric == TRIAL
    return (
        view_range(core_x, rest_x, x.log, whole=few, most=1.0 if x.kind == "fraction" else None),
        view_range(core_y, rest_y, y.log, whole=few, most=1.0 if y.kind == "fraction" else None),
    )

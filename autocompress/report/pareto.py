"""Draw a Pareto plot."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import patheffects
from numpy.typing import NDArray

from autocompress.analysis.front import Front
from autocompress.report.pareto_info import TRIAL, AxisInfo, ParetoInfo, pareto_info
from autocompress.report.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    dress_axis,
    label_unit,
    new_figure,
    say,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the reference's label: its width and height, and the axes', all but in this figure size
_AXES_POINTS = (190.0, 130.0)
_LABEL = (0.23, 0.08)
_BEHIND = {-1: 1.0, 0: 0.5, 1: 0.0}  # how much of the label is left of, or below, its anchor
_SPOTS = ((0, -6), (0, 6), (-6, 0), (6, 0), (-3, -6), (3, -6), (-3, 6), (3, 6))  # best first

_MANY = 1000  # points beyond which scatter is drawn as pixels also in vector files


def pareto(
    front: Front,
    x: str | None = None,
    y: str | None = None,
    *,
    test: Mapping[int, float] | None = None,
) -> Figure:
    """Draw a front in two of its objectives.

    The front is a staircase with markers, dominated trials are faint, failed ones are only
    counted, the uncompressed model is a star. The figure is a paper's column wide (3.3 in) and
    unknown to pyplot: show it in a notebook, or write it with ``figure.savefig``.

    Args:
        front: The front and the trials it was taken from.
        x: Objective of the horizontal axis; default: the second one.
        y: Objective of the vertical axis; default: the first one.
        test: Accuracy on the test split, a fraction, by trial number: drawn as hollow markers.

    Raises:
        UnknownName: ``x`` or ``y`` is not an objective.
    """
    return draw_pareto(pareto_info(front, x, y, test=test))


def draw_pareto(info: ParetoInfo) -> Figure:
    """Draw what :func:`~autocompress.report.pareto_info.pareto_info` computed."""
    with styled():
        figure = new_figure(2.75)
        axes = figure.add_subplot()
        dress_axis(axes, "x", kind=info.x.kind, log=info.x.log)
        dress_axis(axes, "y", kind=info.y.kind, log=info.y.log)
        axes.set_xlabel(axis_label(info.x, tested=False))
        axes.set_ylabel(axis_label(info.y, tested=bool(info.test.x)))
        _draw_points(axes, info)
        _draw_reference(axes, info)
        axes.set_xlim(info.limits[0])
        axes.set_ylim(info.limits[1])
        if not info.front.x:
            say(axes, "no trial can be ranked yet")
        _legend(figure, axes)
        figure.supxlabel(note(info), fontsize=8, color=GREY)
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    """Put one line above the axes, the front first."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] in ("dominated", "knee"))
    if order:
        figure.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="outside upper center",
            # long words, or five of them, do not fit the line
            ncols=2 if "reference" in labels else len(order) if len(order) < 5 else 3,
        )


def axis_label(axis: AxisInfo, *, tested: bool) -> str:
    """Return an axis label with its unit, and which data split it was measured on."""
    split = "" if axis.metric not in ("accuracy", "error", "loss") or tested else "validation "
    return f"{split}{axis.label}{label_unit(axis.kind)}"


def note(info: ParetoInfo) -> str:
    """Return the line below a plot: how many trials there were, and what is not drawn."""
    total = sum(info.statuses.values())
    others = [
        f"{count} {name}".replace("_", " ").replace(" ", "\N{NO-BREAK SPACE}")
        for name, count in info.statuses.items()
        if name != "complete"
    ]
    if info.outside:
        others.append(
            f"{info.outside}\N{NO-BREAK SPACE}outside\N{NO-BREAK SPACE}the\N{NO-BREAK SPACE}axes"
        )
    text = f"{total} trials" if total != 1 else "1 trial"
    if others:
        text += f"; not drawn: {', '.join(others)}"
    return "\n".join(textwrap.wrap(text, 58))


def _draw_points(axes: Axes, info: ParetoInfo) -> None:
    many = len(info.dominated.x) > _MANY
    if info.dominated.x:
        axes.scatter(
            info.dominated.x,
            info.dominated.y,
            s=4 if many else 9,
            color=GREY,
            linewidths=0,
            alpha=0.25 if many else 0.45,
            label="dominated",
            rasterized=many,
            zorder=1,
        )
    if not info.front.x:
        return
    tested = bool(info.test.x)
    name = "best" if info.x.metric == TRIAL else "front"
    size = 4.0 if len(info.front.x) <= 40 else 2.5
    axes.plot(info.line.x, info.line.y, color=BLUE, linewidth=1.2, zorder=2)
    axes.plot(
        info.front.x,
        info.front.y,
        "o",
        color=BLUE,
        markersize=size,
        zorder=3,
        label=f"{name}, validation" if tested else name,
    )
    _draw_bars(axes, info)
    if tested:
        axes.plot(
            info.test.x,
            info.test.y,
            "D",
            color=VERMILION,
            markerfacecolor="none",
            markersize=size,
            markeredgewidth=0.8,
            label="test",
            zorder=4,
        )
    if info.knee.x and info.x.metric != TRIAL:
        axes.plot(
            info.knee.x,
            info.knee.y,
            "o",
            color=ORANGE,
            markerfacecolor="none",
            markersize=9,
            markeredgewidth=1.2,
            label="knee",
            zorder=5,
        )


def _draw_bars(axes: Axes, info: ParetoInfo) -> None:
    """Draw a cross for each interval: where its arms meet is the mean."""
    if not info.bars:
        return
    axes.errorbar(
        [bar.x for bar in info.bars],
        [bar.y for bar in info.bars],
        xerr=[[abs(bar.x - bar.x_ends[i]) for bar in info.bars] for i in (0, 1)],
        yerr=[[abs(bar.y - bar.y_ends[i]) for bar in info.bars] for i in (0, 1)],
        fmt="none",
        ecolor=BLACK,
        elinewidth=0.7,
        capsize=2.0,
        capthick=0.7,
        zorder=3.5,  # above the markers, which would hide short ones
        label="95 % interval",
    )


def _draw_reference(axes: Axes, info: ParetoInfo) -> None:
    """Mark the uncompressed model by a star, or a line when the x axis is the trial number."""
    if info.reference is None:
        return
    x, y = info.reference
    if x is None:
        axes.axhline(y, color=BLACK, linewidth=0.8, linestyle=(0, (4, 2)), label="reference")
        return
    axes.plot([x], [y], "*", color=BLACK, markersize=9, markeredgewidth=0, zorder=6)
    dx, dy = _free_spot(info, x, y)
    text = axes.annotate(
        "reference",
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=("center", "left", "right")[np.sign(dx)],
        va=("center", "bottom", "top")[np.sign(dy)],
        zorder=7,
    )
    text.set_path_effects([patheffects.withStroke(linewidth=2, foreground="white")])


def _free_spot(info: ParetoInfo, x: float, y: float) -> tuple[int, int]:
    """Return where to put the reference's label, in points from it: where it covers least."""
    (left, right), (bottom, top) = info.limits

    at_x, at_y = (
        float(v[0])
        for v in (_position([x], left, right, info.x.log), _position([y], bottom, top, info.y.log))
    )
    drawn = (info.front, info.line, info.test, info.dominated)
    xs = _position([v for series in drawn for v in series.x], left, right, info.x.log)
    ys = _position([v for series in drawn for v in series.y], bottom, top, info.y.log)

    def cost(spot: tuple[int, int]) -> float:
        low_x = at_x + spot[0] / _AXES_POINTS[0] - _LABEL[0] * _BEHIND[np.sign(spot[0])]
        low_y = at_y + spot[1] / _AXES_POINTS[1] - _LABEL[1] * _BEHIND[np.sign(spot[1])]
        high_x, high_y = low_x + _LABEL[0], low_y + _LABEL[1]
        covered = ((low_x <= xs) & (xs <= high_x) & (low_y <= ys) & (ys <= high_y)).sum()
        sticks_out = low_x < 0 or high_x > 1.02 or low_y < 0 or high_y > 1.08
        return float(covered) + 1e6 * sticks_out

    return min(_SPOTS, key=cost)


def _position(values: Sequence[float], low: float, high: float, log: bool) -> NDArray[np.float64]:
    """Return where values lie between two limits, 0 to 1."""
    array = np.asarray(values, dtype=np.float64)
    if log:
        array, low, high = np.log(array), math.log(low), math.log(high)
    return (array - low) / (high - low)

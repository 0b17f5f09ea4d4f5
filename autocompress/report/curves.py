"""Draw how trials and the sweep went: L-C steps, hypervolume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.colors import LogNorm, Normalize

from autocompress.analysis.front import Front
from autocompress.analysis.progress import hypervolume_progress
from autocompress.analysis.units import Kind, quantity
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import TrialRecord
from autocompress.report.style import (
    BLUE,
    CYCLE,
    GREY,
    LogTicks,
    dress_axis,
    format_tick,
    label_unit,
    new_figure,
    say,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = len(CYCLE)  # trials that are told apart by colour and name; more get a colour scale
_MOST = 60  # trials drawn at most
_PANELS = (
    ("mu", "μ", True),
    ("violation", "‖w − Δ(Θ)‖ / ‖w‖", True),
    ("val_accuracy", "validation\naccuracy (%)", False),
)


def mu_curves(histories: Mapping[int, pd.DataFrame], *, front: Front | None = None) -> Figure:
    """Draw mu, constraint violation and validation accuracy against the L-C step.

    Args:
        histories: Trial number to its steps, with the columns ``step``, ``mu``, ``violation`` and
            ``val_accuracy``. Up to seven trials are named; more are coloured by an objective of
            ``front`` (by trial number without it), and of more than 60 an even choice is drawn.
        front: The front the trials are from.

    Values that a log axis cannot show (mu and violation of 0) are left out.
    """
    numbers = list(histories)
    if len(numbers) > _MOST:
        numbers = [numbers[i] for i in np.linspace(0, len(numbers) - 1, _MOST).astype(int)]
    with styled():
        figure = new_figure(4.0)
        panels = list(figure.subplots(len(_PANELS), 1, sharex=True))
        colours = _colours(figure, panels, numbers, front)
        for axes, (column, label, log) in zip(panels, _PANELS, strict=True):
            kind: Kind = "fraction" if column == "val_accuracy" else "plain"
            dress_axis(axes, "y", kind=kind, log=log)
            axes.set_ylabel(label)
            for number in numbers:
                _curve(axes, histories[number], column, log, colours[number], f"trial {number}")
        if not numbers:
            say(panels[1], "no L-C steps are recorded")
        panels[-1].set_xlabel("L-C step (0: direct compression)")
        panels[-1].xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True, min_n_ticks=1))
        figure.align_ylabels(panels)
        if 0 < len(numbers) <= _NAMED:
            handles, labels = panels[-1].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)))
        if len(histories) > len(numbers):
            text = f"{len(numbers)} of {len(histories)} trials drawn"
            figure.supxlabel(text, fontsize=8, color=GREY)
    return figure


def hypervolume_curve(records: Iterable[TrialRecord], objectives: Objectives) -> Figure:
    """Draw the hypervolume of all trials so far against the trial number.

    Raises:
        ConfigError: the objectives' reference point is not resolved to numbers.
    """
    progress = hypervolume_progress(records, objectives)
    with styled():
        figure = new_figure(1.9)
        axes = figure.add_subplot()
        axes.plot(
            progress.numbers,
            progress.hypervolumes,
            color=BLUE,
            drawstyle="steps-post",
            marker="o" if len(progress.numbers) <= 40 else "",
            markersize=2.5,
        )
        axes.set_xlabel("trial number")
        axes.set_ylabel("hypervolume")
        axes.set_xlim(-0.5, max(progress.numbers, default=0) + 0.5)
        if not any(progress.hypervolumes):
            axes.set_ylim(0, 1)
        if not progress.numbers:
            say(axes, "no trial has finished yet")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    return figure


def _curve(
    axes: Axes, history: pd.DataFrame, column: str, log: bool, colour: Any, name: str
) -> None:
    x = history["step"].to_numpy(dtype=np.float64)
    y = history[column].to_numpy(dtype=np.float64)
    keep = np.isfinite(y) & (y > 0 if log else True)
    marker = "o" if keep.sum() <= 3 else ""  # a line of few points would hardly be seen
    axes.plot(x[keep], y[keep], color=colour, label=name, marker=marker, markersize=3, lw=1)


def _colours(
    figure: Figure, panels: list[Axes], numbers: list[int], front: Front | None
) -> dict[int, Any]:
    """Return each trial's colour; with many trials, add a colour scale."""
    if len(numbers) <= _NAMED:
        return dict(zip(numbers, CYCLE, strict=False))
    values = {number: float(number) for number in numbers}
    label, log = "trial number", False
    kind: Kind = "plain"
    if front is not None:
        # prefer a size or cost: trials differ by orders of magnitude in it
        items = front.objectives.items
        item = next((i for i in items if i.scale == "log"), items[-1])
        found = {r.number: r.metrics[item.metric] for r in front if r.number in values}
        if len(found) == len(values):
            what = quantity(item.metric)
            values, log, kind = found, item.scale == "log", what.kind
            label = what.label + label_unit(what.kind)
    low, high = min(values.values()), max(values.values())
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 1, high + 1)
    scale = mpl.cm.ScalarMappable((LogNorm if log else Normalize)(low, high), "cividis")
    bar = figure.colorbar(scale, ax=panels, label=label, aspect=40, pad=0.02)
    if log:
        bar.locator = LogTicks()
    bar.formatter = ticker.FuncFormatter(lambda value, _: format_tick(kind, value))
    bar.minorticks_off()
    return dict(zip(numbers, scale.to_rgba(np.array([values[n] for n in numbers])), strict=True))

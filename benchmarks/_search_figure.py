"""Curves of the search benchmark: hypervolume against trials and against epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autocompress.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Sequence[tuple[list[float], list[int]]]

LOOKS = {
    "ours": (style.BLUE, "-", "ours"),
    "halving": (style.SKY, "-", "ours, halving"),
    "tpe": (style.VERMILION, "-", "TPE"),
    "nsga2": (style.GREEN, "-", "NSGA-II"),
    "random": (style.GREY, "-", "random"),
    "seeds-only": (style.PURPLE, "--", "seeds, then TPE"),
    "no-sensitivity": (style.ORANGE, "--", "guided, no sensitivities"),
    "guided-only": (style.BLACK, "--", "guided alone"),
    "tpe-recipe": (style.VERMILION, "--", "TPE, recipe fixed"),
}


def draw(tasks: Mapping[str, Mapping[str, Curves]], path: Path) -> None:
    """Write the picture: a row a task, medians over seeds with the range of all seeds."""
    with style.styled():
        figure = style.new_figure(2.3 * len(tasks) + 0.3, 2 * style.COLUMN)
        axes = figure.subplots(len(tasks), 2, squeeze=False)
        for row, (name, drivers) in zip(axes, tasks.items(), strict=True):
            for driver, look in LOOKS.items():
                if driver in drivers:
                    _against_trials(row[0], drivers[driver], look)
                    _against_epochs(row[1], drivers[driver], look)
            row[0].set_title(name)
            row[0].set_ylabel("hypervolume")
            row[0].set_xlabel("trials")
            row[1].set_xlabel("epochs of L steps")
            for ax in row:
                ax.set_ylim(bottom=0.0)
                ax.set_xlim(left=0.0)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        path.write_bytes(style.render(figure, ["png"])["png"])


def _against_trials(ax: Axes, curves: Curves, look: tuple[str, str, str]) -> None:
    shortest = min(len(volumes) for volumes, _ in curves)
    table = np.array([volumes[:shortest] for volumes, _ in curves])
    _plot(ax, np.arange(1, shortest + 1), table, look)


def _against_epochs(ax: Axes, curves: Curves, look: tuple[str, str, str]) -> None:
    last = min(epochs[-1] for _, epochs in curves)
    grid = np.linspace(0, last, 400)
    table = np.array([_step(grid, np.array(e), np.array(v)) for v, e in curves])
    _plot(ax, grid, table, look)


def _step(grid: np.ndarray, epochs: np.ndarray, volumes: np.ndarray) -> np.ndarray:
    """Return what was reached within so many epochs."""
    return np.concatenate([[0.0], volumes])[np.searchsorted(epochs, grid, side="right")]


def _plot(ax: Axes, x: np.ndarray, table: np.ndarray, look: tuple[str, str, str]) -> None:
    colour, line, label = look
    ax.plot(x, np.median(table, axis=0), line, color=colour, label=label)
    if len(table) > 1:
        ax.fill_between(x, table.min(axis=0), table.max(axis=0), color=colour, alpha=0.12, lw=0)

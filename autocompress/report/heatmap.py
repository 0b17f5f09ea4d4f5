"""Draw what each choice of each layer costs by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from autocompress.report.style import LogTicks, format_number, new_figure, styled
from autocompress.sensitivity.table import Sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.9  # two columns of a paper, inches
_ROW = 0.24
_LEAST = 1e-3  # share of the way to a guess at random from which on colours differ
_NARROW = 4  # cells in which a text does not fit unless it is upright
_LONGEST = 22


@dataclass(frozen=True)
class HeatmapInfo:
    """What a heat map shows.

    Attributes:
        groups: The rows.
        blocks: Options and how many columns each has.
        values: Changes of loss, ``(groups, columns)``; NaN where a group has no such choice. In
            each block the smallest files are on the left.
        chance: What a guess at random costs.
    """

    groups: tuple[str, ...]
    blocks: tuple[tuple[str, int], ...]
    values: NDArray[np.float64]
    chance: float


def heatmap_info(table: Sensitivity) -> HeatmapInfo:
    """Return what :func:`heatmap` draws."""
    labels = dict.fromkeys(row.label for row in table.rows)
    blocks = []
    parts = []
    for label in labels:
        rows = [
            sorted((r for r in table.of(group) if r.label == label), key=lambda r: r.bits)
            for group in table.groups
        ]
        width = max(map(len, rows))
        part = np.full((len(rows), width), np.nan)
        for i, found in enumerate(rows):
            part[i, : len(found)] = [row.cost for row in found]
        blocks.append((label, width))
        parts.append(part)
    chance = max(table.chance, 1e-9)
    return HeatmapInfo(table.groups, tuple(blocks), np.concatenate(parts, axis=1), chance)


def heatmap(table: Sensitivity) -> Figure:
    """Draw a table of sensitivities: a row for each group, a block of columns for each option.

    Within a block compression gets weaker from left to right. Colours are logarithmic and end at
    what a guess at random costs; cells that cost less than a thousandth of it are pale green,
    choices that a group does not have are hatched.

    Args:
        table: The sensitivities.
    """
    info = heatmap_info(table)
    narrow = any(width < _NARROW for _, width in info.blocks)
    top = 0.085 * max(min(len(label), _LONGEST) for label, _ in info.blocks) if narrow else 0.2
    with styled():
        figure = new_figure(0.75 + top + _ROW * len(info.groups), _WIDTH)
        axes = figure.subplots()
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_facecolor("#F4F4F4")
        least = _LEAST * info.chance
        shown = np.clip(
            info.values, least / 2, info.chance
        )  # what is below the least is pale green
        image = axes.pcolormesh(
            np.ma.masked_invalid(shown),
            norm=LogNorm(least, info.chance),
            cmap=mpl.colormaps["YlOrRd"].with_extremes(under="#E6EFE6"),
            edgecolors="white",
            linewidth=0.4,
        )
        _hatch(axes, info.values)
        _label(axes, info, upright=narrow)
        bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=12, shrink=0.9)
        bar.set_label("increase of loss")
        bar.ax.yaxis.set_major_locator(LogTicks())
        bar.ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: format_number(x)))
        bar.ax.yaxis.set_minor_locator(ticker.NullLocator())
        bar.outline.set_visible(False)
    return figure


def _hatch(axes: Axes, values: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(np.isnan(values)), strict=True):
        cell = mpl.patches.Rectangle((column, row), 1, 1, fill=False, hatch="////", lw=0)
        cell.set_edgecolor("#C8C8C8")
        axes.add_patch(cell)


def _label(axes: Axes, info: HeatmapInfo, *, upright: bool) -> None:
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(info.groups)) + 0.5, [_short(name) for name in info.groups])
    ends = np.cumsum([width for _, width in info.blocks])
    for end in ends[:-1]:
        axes.axvline(end, color="black", linewidth=0.8)
    middles = [end - width / 2 for end, (_, width) in zip(ends, info.blocks, strict=True)]
    names = [_short(label) for label, _ in info.blocks]
    axes.xaxis.tick_top()
    rotation = 40 if upright else 0
    side = "left" if upright else "center"
    axes.set_xticks(middles, names, rotation=rotation, ha=side, rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.set_xlabel("within each scheme: strong to weak compression")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

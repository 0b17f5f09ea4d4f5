"""How figures look: a paper's single column, colour-blind safe, readable ticks, embedded fonts."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.style
from matplotlib import ticker
from matplotlib.figure import Figure

from autocompress.analysis.units import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COLUMN = 3.3  # width of a paper's column, inches
FORMATS = ("png", "pdf", "svg")
DPI = 300

# Okabe & Ito (2008), "Color universal design": told apart by every kind of colour vision
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#767676"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

_RC: Any = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": True,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.0,
    "legend.borderpad": 0.1,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "autocompress",  # the same file for the same figure
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw inside with this style; matplotlib's settings are as before afterwards."""
    # from the defaults: the user's own settings must not change a report
    with matplotlib.style.context(["default", _RC]):
        yield


def new_figure(height: float, width: float = COLUMN) -> Figure:
    """Return an empty figure, sizes in inches, that pyplot does not know of."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def render(figure: Figure, kinds: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Return a figure as the content of files: PNG at 300 dpi, PDF and SVG by default.

    They hold no date: the same figure gives the same bytes.
    """
    dates: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    content = {}
    layout = figure.get_layout_engine()
    with styled():
        figure.draw_without_rendering()  # lays it out once, not again for each kind
        figure.set_layout_engine("none")
        for kind in kinds:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=dates.get(kind))
            content[kind] = buffer.getvalue()
        figure.set_layout_engine(layout)
    return content


def format_tick(kind: Kind, value: float) -> str:
    """Write a tick: as short as it can be, the unit only where the axis label has none."""
    if kind == "fraction":
        return f"{100 * value:.6g}"
    if kind == "ratio":
        return f"{value:.4g}×"
    if kind not in ("bytes", "count"):
        return format_number(value)
    units = ("B", "KB", "MB", "GB") if kind == "bytes" else ("", "K", "M", "G")
    power = 0
    if value:
        power = min(max(math.floor(math.log10(abs(value)) + 1e-9) // 3, 0), 3)
    return f"{value / 1000**power:.4g} {units[power]}".rstrip()


def format_number(value: float) -> str:
    """Write a tick without a unit: plain in the middle of the range, else in powers of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".")
    front = {"1": "", "-1": "-"}.get(digits, rf"{digits}\cdot ")
    return f"${front}10^{{{int(exponent)}}}$"


def label_unit(kind: Kind) -> str:
    """Return what an axis label adds in brackets."""
    return {"fraction": " (%)", "time": " (ms)"}.get(kind, "")


def log_ticks(low: float, high: float) -> list[float]:
    """Return readable ticks for a log axis from ``low`` to ``high``: three to six of them.

    Whole decades where they are enough, else 1-3, 1-2-5 or finer multiples; below a factor of
    two, evenly spaced values.
    """
    if not (0 < low < high < math.inf):
        return []
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    inside = [10.0**p for p in range(first, last + 1) if low <= 10.0**p <= high]
    if len(inside) >= 3:
        return inside[:: math.ceil(len(inside) / 6)]
    for multiples in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [m * 10.0**p for p in range(first, last + 1) for m in multiples]
        inside = [tick for tick in ticks if low <= tick <= high]
        if 3 <= len(inside) <= 6:
            return inside
    even = ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in even if low <= tick <= high]


class LogTicks(ticker.Locator):
    """Places :func:`log_ticks` wherever the axis is zoomed to."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return log_ticks(float(low), float(high))

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return log_ticks(vmin, vmax)


def dress_axis(axes: Axes, which: str, *, kind: Kind, log: bool) -> None:
    """Set one axis' scale, tick places and tick texts; ``which`` is ``"x"`` or ``"y"``."""
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    nice = ticker.MaxNLocator(5 if which == "x" else 6, steps=[1, 2, 2.5, 5, 10])
    axis.set_major_locator(LogTicks() if log else nice)
    minor = ticker.LogLocator(subs=range(2, 10)) if log else ticker.NullLocator()
    axis.set_minor_locator(minor)
    axis.set_minor_formatter(ticker.NullFormatter())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: format_tick(kind, value)))


def say(axes: Axes, text: str) -> None:
    """Write a text in the middle of axes that have nothing else to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)

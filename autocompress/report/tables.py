"""Tables of a front and of all trials: CSV for programs, Markdown and LaTeX for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autocompress.analysis.front import Front, gain, metric_names
from autocompress.analysis.text import plan_summary, plan_text
from autocompress.analysis.units import format_kind, format_value, quantity
from autocompress.explore.objectives import Objective
from autocompress.explore.record import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_TEX_ROWS = 15  # a small table: what fits into a column of a paper
_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "μ": r"$\mu$",
}
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Table(NamedTuple):
    """A table as texts: the first row after the header is the reference model."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[bool, ...]
    """Which columns hold words, and are set flush left."""


def front_frame(front: Front, test: Mapping[int, float]) -> pd.DataFrame:
    """Return the front as numbers; ``test_accuracy`` (a fraction) is NaN where not measured."""
    frame = front.to_frame()
    position = frame.columns.get_loc("plan")
    assert isinstance(position, int)  # column names are unique
    measured = [test.get(record.number, math.nan) for record in front]
    frame.insert(position, "test_accuracy", measured)
    return frame


def trials_frame(front: Front) -> pd.DataFrame:
    """Return all trials, a row each: metrics, whether on the front, and if not, why."""
    import pandas as pd

    records = front.considered
    members = {record.number for record in front}
    columns: dict[str, list[object]] = {
        "number": [r.number for r in records],
        "status": [r.status.value for r in records],
        "on_front": [r.number in members for r in records],
        "left_out": [front.left_out.get(r.number, "") for r in records],
        "origin": [r.origin for r in records],
    }
    for name in metric_names(records, front.objectives):
        columns[name] = [r.metrics.get(name, math.nan) for r in records]
    noise: dict[str, list[object]] = {}
    if front.noise is not None:  # trials near the front were repeated, too
        noise = front.noise.columns([r.number for r in records], front.objectives)
    columns |= {
        "seconds": [r.seconds for r in records],
        "epochs": [r.epochs for r in records],
        "seed": [r.seed for r in records],
        "digest": [r.digest for r in records],
        "folder": [r.folder or "" for r in records],
        "message": [r.message for r in records],
        **noise,
        "plan": [plan_text(r.candidate) for r in records],
    }
    return pd.DataFrame(columns)


def front_table(
    front: Front, test: Mapping[int, float], *, plans: Callable[[TrialRecord], str] | None = None
) -> Table:
    """Return the front as texts for people.

    Sizes, counts and times also say how many times better than the reference they are.

    Args:
        front: The front.
        test: Accuracy on the test split, a fraction, by trial number; no column when empty.
        plans: How to write a record's plan; None leaves the column out.
    """
    items = front.objectives.items
    header = ["trial", *(heading(item) for item in items)]
    base = ["reference", *(_cell(item, front.reference, {}) for item in items)]
    left = [False] * len(header)
    noisy = _noise_header(front)
    header, base, left = header + noisy, base + [""] * len(noisy), left + [False] * len(noisy)
    if test:
        header, base, left = [*header, "test accuracy"], [*base, ""], [*left, False]
    if plans:
        header, base, left = [*header, "plan"], [*base, "uncompressed"], [*left, True]
    rows = [tuple(base)] if front.reference else []
    for record in front:
        cells = [str(record.number)]
        cells += [_cell(item, record.metrics, front.reference) for item in items]
        cells += _noise_cells(front, record)
        if test:
            cells.append(format_kind("fraction", test.get(record.number, math.nan)))
        if plans:
            cells.append(plans(record))
        rows.append(tuple(cells))
    return Table(tuple(header), tuple(rows), tuple(left))


def markdown(table: Table) -> str:
    """Return a table in GitHub's Markdown."""
    rule = ("---" if left else "---:" for left in table.left)
    lines = [_markdown_row(table.header), f"| {' | '.join(rule)} |"]
    lines += [_markdown_row(row) for row in table.rows]
    return "\n".join(lines) + "\n"


def tex(table: Table) -> str:
    """Return a small LaTeX table for the package ``booktabs``, of at most 15 rows.

    Of a longer one the ends and an even choice between them are kept; a comment says so.
    """
    rows = list(table.rows)
    comment = ""
    if len(rows) > _TEX_ROWS:
        kept = np.linspace(0, len(rows) - 1, _TEX_ROWS).astype(int)
        comment = f"% {_TEX_ROWS} of {len(rows)} rows, evenly chosen; all are in front.csv\n"
        rows = [rows[i] for i in kept]
    columns = "".join("l" if left else "r" for left in table.left)
    body = "".join(f"{_tex_row(row)}\n" for row in rows)
    return (
        f"% needs \\usepackage{{booktabs}}; accuracies are of the validation split unless "
        f"the heading says test\n{comment}\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{_tex_row(table.header)}\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def escape_tex(text: str) -> str:
    """Return text that LaTeX sets as it is; line ends become spaces."""
    return "".join(_TEX.get(char, char) for char in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Return text that cannot end a Markdown table's cell or open an HTML tag."""
    flat = " ".join(text.split())
    for char in "\\`*_[]|":
        flat = flat.replace(char, f"\\{char}")
    return "".join(_MARKDOWN.get(char, char) for char in flat)


def heading(item: Objective) -> str:
    """Return what to call an objective: which split it was measured on, where that matters."""
    validation = item.metric in ("accuracy", "error", "loss")
    return f"validation {item.metric}" if validation else quantity(item.metric).label


def summary_of(record: TrialRecord) -> str:
    """Return which schemes a record's plan uses."""
    return plan_summary(record.candidate)


def text_of(record: TrialRecord) -> str:
    """Return a record's whole plan."""
    return plan_text(record.candidate)


def _cell(item: Objective, metrics: Mapping[str, float], reference: Mapping[str, float]) -> str:
    text = format_value(item.metric, metrics.get(item.metric, math.nan))
    factor = gain(item, metrics, reference)
    if quantity(item.metric).kind in ("bytes", "count", "time") and math.isfinite(factor):
        text += f" ({format_kind('ratio', factor)})"
    return text


def _noise_header(front: Front) -> list[str]:
    """Return what the columns on repeats are called: objectives that seeds change, then odds."""
    if front.noise is None:
        return []
    level = f"{100 * front.noise.level:.0f} % interval"
    items = [item for item in front.objectives.items if front.noise.varies(item.metric)]
    return [*(f"{heading(item)}, {level}" for item in items), "seeds", "P(non-dominated)"]


def _noise_cells(front: Front, record: TrialRecord) -> list[str]:
    noise, cells = front.noise, []
    if noise is None:
        return []
    for name in filter(noise.varies, front.objectives.names):
        spread = noise.spread(record.number, name)
        ends = (spread.low, spread.high) if spread else ()
        cells.append(" to ".join(format_value(name, end) for end in ends))
    odds = noise.probability.get(record.number, math.nan)
    seeds = str(noise.seeds.get(record.number, 1))
    return [*cells, seeds, f"{odds:.2f}" if math.isfinite(odds) else ""]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape_markdown(cell) for cell in cells)} |"


def _tex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(escape_tex(cell) for cell in cells)} \\\\"

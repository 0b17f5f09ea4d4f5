"""Which figures a report has, and what is written below each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autocompress.analysis.front import Front
from autocompress.report.curves import hypervolume_curve, mu_curves
from autocompress.report.pareto import pareto
from autocompress.report.pareto_info import TRIAL, pairs
from autocompress.report.proposals import calibration_plot, origin_text
from autocompress.report.tables import heading
from autocompress.sensitivity.calibration import Calibration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_HISTORIES = 60  # trials whose L-C steps are drawn at most
_STEP_COLUMNS = {"step", "mu", "violation", "val_accuracy"}


def figures(
    front: Front,
    run: Path,
    tested: Mapping[int, float],
    calibration: Calibration | None,
) -> Iterator[tuple[str, str, Figure]]:
    """Draw one figure after the other: name, caption, figure.

    Args:
        front: The front and the trials it was taken from.
        run: The run's folder, which trials' folders are relative to.
        tested: Accuracy on the test split, a fraction, by trial number.
        calibration: How well the study's sensitivities foretold its trials, if it has any.
    """
    for position, (x, y) in enumerate(pairs(front)):
        name = "pareto" if position == 0 else f"pareto-{y}-{x}"
        yield name, _caption(front, x, y, tested), pareto(front, x, y, test=tested)
    caption = "Hypervolume of all trials so far, against the trial number."
    yield "hypervolume", caption, hypervolume_curve(front.considered, front.objectives)
    if calibration is not None:
        caption = (
            "The guess that the search began with: the sum of what each layer's compression costs "
            "by itself, and the validation loss of the trained trial. Triangles at the edge: "
            "foretold to cost next to nothing."
        )
        yield "calibration", caption, calibration_plot(calibration)
    histories = _histories(run, front)
    if histories:
        caption = (
            "The front's trials, step by step: penalty parameter μ, constraint violation, "
            "and validation accuracy of the compressed model."
        )
        yield "steps", caption, mu_curves(histories, front=front)


def _caption(front: Front, x: str, y: str, tested: Mapping[int, float]) -> str:
    vertical = heading(front.objectives[y])
    if x == TRIAL:
        text = f"{vertical.capitalize()} of every trial; the line is the best so far."
    else:
        text = f"{vertical.capitalize()} against {heading(front.objectives[x])}."
    if (x, y) == pairs(front)[0] and (whose := origin_text(front)):
        text += f" The front by origin: {whose}."
    if len(front.objectives.items) > 2:
        text += (
            f" Filled: the front of all {len(front.objectives.items)} objectives; the line joins "
            "what is best in these two."
        )
    if tested and y in ("accuracy", "error"):
        text += " Hollow: the same models on the test split."
    if front.noise is not None:
        text += (
            f" Bars: {100 * front.noise.level:.0f} % confidence intervals of the mean over seeds; "
            "the markers are at the search's own seed."
        )
    return text


def _histories(run: Path, front: Front) -> dict[int, pd.DataFrame]:
    """Read the steps of the front's trials; what is missing or damaged is left out."""
    import pandas as pd

    stride = math.ceil(len(front) / _HISTORIES) or 1
    found = {}
    for record in front.records[::stride]:
        if record.folder is None:
            continue
        try:
            history = pd.read_csv(run / record.folder / "history.csv")
        except (OSError, ValueError):  # pandas' parser errors are ValueErrors
            continue
        numeric = all(history[name].dtype.kind in "if" for name in _STEP_COLUMNS & {*history})
        if set(history) >= _STEP_COLUMNS and numeric and len(history):
            found[record.number] = history
    return found

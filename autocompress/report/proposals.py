"""Who proposed the trials, and how well they were foretold."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from autocompress.analysis.front import Front
from autocompress.explore.record import ORIGINS, Status
from autocompress.report.style import BLUE, GREY, dress_axis, new_figure, say, styled
from autocompress.report.tables import Table
from autocompress.sensitivity import Sensitivity
from autocompress.sensitivity.calibration import Calibration, calibrate_trials

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LEAST = 1e-3  # share of the way to a guess at random below which nothing is told apart
_MEANS = {
    "dense": "no compression",
    "uniform": "the same compression of all layers",
    "knapsack": "foretold by the sensitivities",
    "rank-selection": "learned ranks",
    "given": "plans of one's own",
    "sampler": "Optuna's sampler",
    "local": "a change of a front member",
    "guided": "expected to raise the hypervolume most",
    "target": "the search for the target",
}


def origin_counts(front: Front) -> list[tuple[str, int, int, int]]:
    """Return each origin with its trials, complete ones and members of the front."""
    every = Counter(record.origin for record in front.considered)
    complete = Counter(r.origin for r in front.considered if r.status is Status.COMPLETE)
    members = Counter(record.origin for record in front)
    return [(name, every[name], complete[name], members[name]) for name in ORIGINS if every[name]]


def origin_frame(front: Front) -> pd.DataFrame:
    """Return who proposed how much: trials, complete ones, and the share of the front."""
    import pandas as pd

    rows = [(*row, row[-1] / len(front) if len(front) else 0.0) for row in origin_counts(front)]
    return pd.DataFrame(rows, columns=["origin", "trials", "complete", "on_front", "share"])


def origin_table(front: Front) -> Table:
    """Return the same as texts for people."""
    rows = tuple(
        (name, _MEANS[name], str(trials), str(complete), _share(members, len(front)))
        for name, trials, complete, members in origin_counts(front)
    )
    header = ("origin", "what it is", "trials", "complete", "on the front")
    return Table(header, rows, (True, True, False, False, False))


def origin_text(front: Front) -> str:
    """Return whose the front is, most first; empty without a front."""
    counts = sorted(origin_counts(front), key=lambda row: -row[-1])
    return ", ".join(f"{name} {members}" for name, _, _, members in counts if members)


def calibrate(table: dict[str, Any] | None, front: Front) -> Calibration | None:
    """Return how the finished trials compare with what a study's sensitivities foretell.

    Args:
        table: What the study has noted of sensitivities; None: nothing.
        front: The trials.

    Returns:
        The comparison, None where there is nothing to compare.

    Raises:
        ConfigError: the note is damaged.
    """
    if table is None:
        return None
    found = calibrate_trials(Sensitivity.from_dict(table), front.considered)
    return found if found.candidates else None


def calibration_text(found: Calibration) -> str:
    """Return how good the guess was, as a sentence."""
    rank = f"{found.spearman:.2f}" if math.isfinite(found.spearman) else "unknown (too few trials)"
    return (
        f"What sensitivities foretold of {found.candidates} complete trials, and the validation "
        f"loss that came: rank correlation {rank} (Spearman; 1 is the same order)."
    )


def calibration_frame(found: Calibration) -> pd.DataFrame:
    """Return predicted increases of loss and actual losses, a row for each trial."""
    import pandas as pd

    rank = [found.spearman] * found.candidates
    return pd.DataFrame({"predicted": found.predicted, "actual": found.actual, "spearman": rank})


def calibration_plot(found: Calibration) -> Figure:
    """Draw the losses of finished trials against what was foretold for them.

    Both axes are logarithmic; what was foretold to cost next to nothing is at the left edge.

    Args:
        found: The comparison.
    """
    predicted, actual = np.asarray(found.predicted), np.asarray(found.actual)
    most = float(predicted.max(initial=0.0))
    least = max(_LEAST * most, 1e-9)
    with styled():
        figure = new_figure(2.1)
        axes = figure.add_subplot()
        dress_axis(axes, "x", kind="plain", log=True)
        dress_axis(axes, "y", kind="plain", log=bool((actual > 0).all()))
        shown = np.maximum(predicted, least)
        cheap = predicted <= least
        axes.plot(shown[~cheap], actual[~cheap], "o", color=BLUE, markersize=4)
        axes.plot(shown[cheap], actual[cheap], "<", color=GREY, markersize=4)
        axes.set_xlabel("foretold increase of loss, without training")
        axes.set_ylabel("validation loss")
        if math.isfinite(found.spearman):
            figure.supxlabel(f"rank correlation {found.spearman:.2f}", fontsize=8, color=GREY)
        if most <= 0:
            axes.set_xlim(least / 2, 10 * least)
            say(axes, "nothing was foretold to cost anything")
    return figure


def _share(members: int, of: int) -> str:
    return f"{members} ({100 * members / of:.0f} %)" if members else "0"

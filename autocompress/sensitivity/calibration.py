"""How far the additive guess can be trusted: predicted against actual."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from autocompress.data import Data
from autocompress.errors import ConfigError
from autocompress.explore.choosers import Random, Recorder
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.sampling import derive_seed
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.sensitivity.bench import Bench
from autocompress.sensitivity.table import Sensitivity


@dataclass(frozen=True)
class Calibration:
    """Changes of loss as they were foretold, and as they came.

    Attributes:
        against: What the guess is compared with.
        predicted: Predicted changes of loss.
        actual: Actual changes of what it is compared with, in the same order.
        spearman: Rank correlation, -1 to 1; NaN for fewer than three candidates, or all alike.
        error: Median of |predicted - actual|; NaN where they are not the same quantity.
    """

    against: str
    predicted: tuple[float, ...]
    actual: tuple[float, ...]
    spearman: float
    error: float

    @property
    def candidates(self) -> int:
        """How many candidates it is of."""
        return len(self.predicted)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is not finite becomes null."""
        return {
            "against": self.against,
            "candidates": self.candidates,
            "spearman": self.spearman if math.isfinite(self.spearman) else None,
            "error": self.error if math.isfinite(self.error) else None,
            "predicted": list(self.predicted),
            "actual": list(self.actual),
        }


def calibrate_direct(
    table: Sensitivity,
    model: nn.Module,
    data: Data,
    space: SearchSpace,
    *,
    candidates: int = 30,
    seed: int = 0,
) -> Calibration:
    """Compress random candidates directly, and compare with what the table foretells.

    Candidates foretold or found to have an infinite loss are left out.

    Args:
        table: The sensitivities.
        model: The reference; left untouched.
        data: The data; the same validation examples are used.
        space: The space.
        candidates: How many.
        seed: Which.
    """
    layers = find_layers(model)
    drawn = []
    for number in range(candidates):
        rng = np.random.default_rng(derive_seed(seed, number, "calibration"))
        chooser = Recorder(Random(rng))
        candidate = space.sample(chooser, layers)
        drawn.append((candidate.plan.tasks, table.predict(chooser.params)))
    bench = Bench(model, data, samples=table.samples)
    bench.calibrate(tasks for tasks, _ in drawn)
    pairs = []
    for tasks, predicted in drawn:
        pairs.append((predicted, bench.direct(tasks).loss - table.reference_loss))
        bench.forget()
    return _compare("direct compression", pairs, same=True)


def calibrate_trials(
    table: Sensitivity, records: Iterable[TrialRecord], metric: str = "loss", *, sign: float = 1.0
) -> Calibration:
    """Compare what the table foretells with the results of finished trials.

    Trials were trained and the table's candidates were not: only the order can be compared.

    Args:
        table: The sensitivities.
        records: Trials; those that are not complete, or whose choices are not in the table, are
            left out.
        metric: The metric; ``"accuracy"`` with a ``sign`` of -1 if trials have no loss.
        sign: Multiplies the metric, so that it is smaller for better candidates.
    """
    pairs = []
    for record in records:
        if record.status is not Status.COMPLETE or metric not in record.metrics:
            continue
        try:
            predicted = table.predict(record.params)
        except ConfigError:
            continue
        pairs.append((predicted, sign * record.metrics[metric]))
    return _compare(f"{metric} of finished trials", pairs, same=False)


def _compare(against: str, pairs: Sequence[tuple[float, float]], *, same: bool) -> Calibration:
    from scipy import stats

    kept = [pair for pair in pairs if all(map(math.isfinite, pair))]
    predicted, actual = [p for p, _ in kept], [a for _, a in kept]
    rank = math.nan
    if len(kept) >= 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.ConstantInputWarning)
            rank = float(stats.spearmanr(predicted, actual).statistic)
    gaps = [abs(p - a) for p, a in kept]
    error = float(np.median(gaps)) if same and gaps else math.nan
    return Calibration(against, tuple(predicted), tuple(actual), rank, error)

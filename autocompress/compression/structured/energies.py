"""The channels of largest energy, mostly told apart in single precision.

Sums of squares in double precision take several times as long, and are needed for the few channels
near the threshold alone. With ``u = 2⁻²⁴`` and n squares, a sum in single precision is off by at
most ``n u / (1 - n u)`` of itself in whatever order it is taken (Higham, *Accuracy and Stability of
Numerical Algorithms*, 2002, §3.1), so that is known of every channel. Where the least survivor by
these sums and the largest of the others are further apart than twice that, nothing else is needed;
else those near the threshold are summed again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from autocompress.compression.structured import budget
from autocompress.compression.structured.channels import Index, Mask, Vector

_ERROR = 2.0**-24  # for each square
_LEAST = 2.0**-60  # smaller sums may have lost squares that are no normal numbers
_MARGIN = (
    2.5  # how many errors apart two sums are in order: with _MOST, 1 + m e > (1 + e) / (1 - e)
)
_MOST = 0.1

Scores = NDArray[np.float64]
Weights = TypeVar("Weights", contravariant=True)


class Groups(Protocol[Weights]):
    """Where groups of weights are, and their energies; see :class:`.channels.Layout`."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Groups of each row."""

    @property
    def tops(self) -> Index:
        """The first group of each row."""

    @property
    def width(self) -> int:
        """Most weights in a group."""

    def sums(self, weights: Weights, /) -> Vector:
        """Return the sum of squares of every group, in single precision."""

    def exact(self, weights: Weights, groups: Index, /) -> Scores:
        """Return the sums of squares of a few groups, in double precision."""


def strongest(weights: Weights, layout: Groups[Weights], count: int) -> Mask | None:
    """Say which groups have the largest Σ w², as :func:`.budget.threshold` chooses them.

    Args:
        weights: Those of all the task's tensors, in the form the layout takes them.
        layout: Where their channels are.
        count: How many survive, fewer than there are and more than there are rows.

    Returns:
        For every group whether it survives. None where single precision does not say enough, or a
        weight is not finite.
    """
    band = _MARGIN * _ERROR * layout.width
    if min(layout.sizes) < 1 or band > _MOST:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scores = layout.sums(weights)
        least = float(np.maximum.reduceat(scores, layout.tops).min())
        total = float(np.add.reduce(scores))
    if not _LEAST <= least <= total < math.inf:
        return None
    ordered = np.sort(scores)
    below, limit = ordered[scores.size - count - 1 : scores.size - count + 1].tolist()
    if below < limit * (1 - band) and _LEAST <= limit <= least:
        kept: Mask = scores >= limit  # told, and some of every row
        return kept
    return _closely(weights, layout, scores.astype(np.float64), count, band)


def _closely(
    weights: Weights, layout: Groups[Weights], scores: Scores, count: int, band: float
) -> Mask | None:
    """Do the same with those summed exactly that are near the threshold."""
    sizes = layout.sizes
    near, limit = _near(scores, np.maximum.reduceat(scores, layout.tops), sizes, count, band)
    if not _LEAST <= limit < np.inf or 4 * near.size > scores.size:
        return None
    scores[near] = layout.exact(weights, near)
    kept = np.zeros(scores.size, np.bool_)
    kept[budget.threshold(scores, sizes, count)] = True
    return kept


def _near(
    scores: Scores, best: Scores, sizes: Sequence[int], count: int, band: float
) -> tuple[Index, float]:
    """Return the groups whose fate single precision leaves open, and the threshold.

    Those about as large as the threshold, and where a row's best one may be below it, those about
    as large as that: it survives.

    Args:
        scores: Energies in single precision.
        best: The largest of each row.
        sizes: Groups of each row.
        count: How many survive, the best one of each row among them.
        band: What counts as about as large.
    """
    tops = np.repeat(best, sizes)
    others = np.where(scores == tops, np.inf, scores)  # with ties more than one a row: in the band
    limit = float(np.partition(others, scores.size - count)[scores.size - count])
    with np.errstate(invalid="ignore"):  # an infinite limit is refused afterwards
        near = np.abs(scores - limit) <= band * limit
    near |= (tops <= limit * (1 + band)) & (scores >= tops * (1 - band))
    return near.nonzero()[0], limit

"""Dominance and hypervolume of points to minimise; the arithmetic is moocore's."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Shape (points, objectives), every coordinate finite and to be minimised."""


def nondominated(points: Points) -> NDArray[np.bool_]:
    """Return which points no other one dominates, shape (points,).

    A point dominates another that it is nowhere worse than and somewhere better. Of several equal
    points the first counts, the others are left out: they are the same result again.
    """
    if not len(points):
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points), dtype=bool)


def hypervolume(points: Points, reference: tuple[float, ...]) -> float:
    """Return the volume dominated by the points and bounded by the reference point.

    A point that is not strictly better than the reference point in every coordinate dominates
    nothing inside the bound and contributes nothing; without any other the volume is 0.
    """
    bound = np.asarray(reference, dtype=np.float64)
    inside = points[(points < bound).all(axis=1)] if len(points) else points
    return float(moocore.hypervolume(inside, ref=bound)) if len(inside) else 0.0

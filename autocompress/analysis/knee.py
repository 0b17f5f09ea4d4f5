"""The knee of a front: where giving up a little of one objective stops buying much of another."""

from __future__ import annotations

import numpy as np

from autocompress.analysis.hypervolume import Points

_FLAT = 1e-9  # distances below this, in normalised coordinates, are rounding


def knee(points: Points) -> int | None:
    """Return the row of the knee among non-dominated points, or None if there is none.

    Coordinates are first normalised to [0, 1] over the points (log-scaled objectives already come
    as logarithms). With two objectives the knee is the point farthest below the chord between the
    two extremes (Das 1999, "On characterizing the knee of the Pareto curve"); a front without a
    point below its chord has none, so two points have none. With three or more it is the point
    closest, in Euclidean distance, to the ideal point (the best of each objective). A single
    point is its own knee. Of equals the first counts.
    """
    if not len(points):
        return None
    if len(points) == 1:
        return 0
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / np.where(high > low, high - low, 1.0)
    if points.shape[1] >= 3:
        return int(np.linalg.norm(unit, axis=1).argmin())
    below = 1.0 - unit.sum(axis=1)  # times 1/sqrt(2), the distance to the chord x + y = 1
    row = int(below.argmax())
    return row if below[row] > _FLAT else None

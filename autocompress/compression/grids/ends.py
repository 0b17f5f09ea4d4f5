"""Grids from the ends of ranges, by NumPy, and what float32 makes of them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.compression.grids.rows import bounds

Floats: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = Floats
"""The least and the largest number that levels reach: (2, rows); opposite if symmetric."""
PlainGrid: TypeAlias = NDArray[np.float32]
"""Scales, and unless symmetric offsets: (1 or 2, rows)."""

LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def are_moderate(reach: Floats) -> bool:
    """Whether ends of such magnitudes are finite, and no level between them can overflow."""
    return bool(np.maximum.reduce(reach) < MOST / 32)


def grid_of_ends(ends: Ends, width: int, symmetric: bool) -> PlainGrid:
    """Return the grid over moderate ends, as :func:`.scale.grid_over` does, in float32."""
    bottom, top = bounds(width, symmetric)
    low, high = ends
    grid: PlainGrid = np.empty((1 if symmetric else 2, len(low)), np.float32)
    if symmetric:
        grid[0] = high / top
    else:
        steps = top - bottom
        grid[0] = high / steps - low / steps
        grid[1] = low * (top / steps) + high * (-bottom / steps)
    grid += np.float32(0)  # no negative zeros
    return grid


def may_exceed(reach: Floats, grid: PlainGrid) -> bool:
    """Whether rounding errors may take the end of a range to a level that is none.

    Exactly, ends are levels. In float32 they are off by some units in the last place of the numbers
    that are subtracted, of at most twice the magnitudes ``reach`` of the ends, over the scale; and
    a scale that is not a normal number is off by more.
    """
    return bool((reach * 2.0**-19 + LEAST >= grid[0]).any())

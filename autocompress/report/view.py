"""Which part of an axis to show."""

from __future__ import annotations

import math
from collections.abc import Sequence


def view_range(
    core: Sequence[float],
    rest: Sequence[float],
    log: bool,
    *,
    whole: bool,
    most: float | None,
) -> tuple[float, float]:
    """Return limits around the core, and around the rest up to 0.8 of the core's length beyond.

    ``most`` is a value that the axis does not go far beyond, such as 100 %.
    """
    to, back = (math.log10, lambda v: 10.0**v) if log else (float, float)
    inner = [to(v) for v in core]
    outer = [to(v) for v in rest]
    if not inner + outer:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(inner or outer), max(inner or outer)
    slack = math.inf if whole or high == low else 0.8 * (high - low)
    low = min([low, *(v for v in outer if v >= low - slack)])
    high = max([high, *(v for v in outer if v <= high + slack)])
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    top = back(high + margin)
    if most is not None and not log:
        top = min(top, max(most, high) + 0.15 * margin)
    return back(low - margin), top

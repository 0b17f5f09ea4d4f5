"""How the front grew: hypervolume against trial number."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from autocompress.analysis.front import points_of, why_unranked
from autocompress.analysis.hypervolume import hypervolume, nondominated
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import TrialRecord


class Progress(NamedTuple):
    """Hypervolume of the trials up to and including each number.

    Attributes:
        numbers: Trial numbers, rising.
        hypervolumes: The hypervolume of all trials up to that number; never falls.
    """

    numbers: tuple[int, ...]
    hypervolumes: tuple[float, ...]


def hypervolume_progress(
    records: Iterable[TrialRecord], objectives: Objectives, *, points: int = 500
) -> Progress:
    """Return how the hypervolume grew over the trials, in the order of their numbers.

    Every finished trial counts, also those that failed: the curve says what a trial bought.

    Args:
        records: Trials in any state and order.
        objectives: What was optimized, resolved.
        points: At how many trial numbers to evaluate at most, spread evenly; the last included.

    Raises:
        ConfigError: the objectives' reference point is not resolved to numbers.
    """
    bound = objectives.reference_point()
    finished = sorted((r for r in records if r.status.finished), key=lambda r: r.number)
    ends = np.unique(np.linspace(0, len(finished), min(points, len(finished)) + 1, dtype=int))
    front = points_of((), objectives)
    numbers: list[int] = []
    volumes: list[float] = []
    for start, end in itertools.pairwise(ends):
        new = [r for r in finished[start:end] if not why_unranked(r, objectives)]
        if new:
            front = np.concatenate([front, points_of(new, objectives)])
            front = front[nondominated(front)]
        if new or not volumes:
            volume = hypervolume(front, bound)
        numbers.append(finished[end - 1].number)
        volumes.append(volume)
    return Progress(tuple(numbers), tuple(volumes))

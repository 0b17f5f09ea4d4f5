"""Where stopped trials would have ended, for those who learn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autocompress.analysis.front import points_of
from autocompress.analysis.hypervolume import Points
from autocompress.explore.objectives import Objectives
from autocompress.explore.outlook import Outlook, Way, way_of
from autocompress.explore.record import Status, TrialRecord

_OPTIMISM = -0.5
"""Those that went on were better than those that were stopped, also in what nobody sees."""


class Ends:
    """Foretells the ends of stopped trials by those that were not stopped.

    Args:
        objectives: What is optimized, resolved.
    """

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives
        self._ways: dict[int, Way | None] = {}

    def __call__(
        self, stopped: Sequence[TrialRecord], records: Sequence[TrialRecord]
    ) -> tuple[Points, Points]:
        """Return where stopped trials would have ended, and how unsure that is.

        Args:
            stopped: The stopped trials; all their objectives are known, as far as they got.
            records: All trials.

        Returns:
            Points to minimise and their standard deviations, both of shape (stopped, objectives).
            What cannot be foretold is where it stopped.
        """
        ends = points_of(stopped, self._objectives)
        spread = np.zeros_like(ends)
        if not stopped:
            return ends, spread
        outlook = self._outlook(records)
        for row, record in enumerate(stopped):
            way = self._way(record)
            foreseen = outlook.foresee(way) if way is not None else None
            if foreseen is None:
                continue
            likely, hoped = (
                self._objectives.to_minimize(record.metrics | foreseen.metrics(optimism))
                for optimism in (_OPTIMISM, _OPTIMISM + 1.0)
            )
            if likely is not None and hoped is not None:
                ends[row], spread[row] = likely, np.abs(np.subtract(likely, hoped))
        return ends, spread

    def _outlook(self, records: Sequence[TrialRecord]) -> Outlook:
        outlook = Outlook()
        for record in records:
            if record.status is Status.COMPLETE and (way := self._way(record)) is not None:
                outlook.learn(way)
        return outlook

    def _way(self, record: TrialRecord) -> Way | None:
        """Return the way of a trial that has ended."""
        if record.number not in self._ways:
            self._ways[record.number] = way_of(record)
        return self._ways[record.number]

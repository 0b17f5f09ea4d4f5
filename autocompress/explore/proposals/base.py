"""Proposals: parameters of a search space, and who thought of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autocompress.explore.record import TrialRecord


@dataclass(frozen=True)
class Proposal:
    """A candidate to try.

    Attributes:
        origin: Who proposes it, one of :data:`~autocompress.explore.record.ORIGINS`.
        params: Parameters of the search space, by name; the sampler draws those left out.
    """

    origin: str
    params: dict[str, Any]


class Proposer(Protocol):
    """Proposes candidates; what it says depends on its seed and on its arguments alone."""

    def propose(self, number: int, records: Sequence[TrialRecord]) -> Proposal | None:
        """Return the next candidate to try, or None to leave it to the sampler.

        Args:
            number: The number the trial will have.
            records: All trials so far by number, waiting and running ones too.
        """

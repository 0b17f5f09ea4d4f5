"""Continuation: which finished trial a new one starts from."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from autocompress.errors import AutocompressError
from autocompress.explore.distance import Profile, nearest, profile
from autocompress.explore.record import Status, TrialRecord
from autocompress.recipe import LC, Candidate


class Starts:
    """Chooses starts for trials on one model; what it remembers is only how plans look.

    The choice depends on the candidate and the trials given alone.

    Args:
        model: The reference model; only its layers' names and shapes matter here.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._known: dict[int, Profile | None] = {}

    def choose(self, candidate: Candidate, records: Iterable[TrialRecord]) -> int | None:
        """Return the number of the trial to start from; None for the reference.

        Only complete trials that ran L-C steps of their own can be started from, and only
        candidates that will do some can start from them.

        Args:
            candidate: What is about to be tried.
            records: Trials in any state; those that cannot be started from are passed over.
        """
        if not _trains(candidate, self._model):
            return None
        others: dict[int, Profile] = {}
        for record in records:
            if record.status is Status.COMPLETE and record.folder is not None:
                found = self._profile(record)
                if found is not None:
                    others[record.number] = found
        return nearest(profile(candidate.plan, self._model), others)

    def _profile(self, record: TrialRecord) -> Profile | None:
        if record.number not in self._known:
            self._known[record.number] = self._read(record)
        return self._known[record.number]

    def _read(self, record: TrialRecord) -> Profile | None:
        if record.candidate is None:
            return None
        try:
            candidate = Candidate.from_dict(record.candidate, where=f"trial {record.number}")
            trains = _trains(candidate, self._model)
            return profile(candidate.plan, self._model) if trains else None
        except AutocompressError:  # schemes that are not known here: nothing to start from
            return None


def _trains(candidate: Candidate, model: nn.Module) -> bool:
    return isinstance(candidate.recipe, LC) and bool(candidate.plan.canonical(model).tasks)

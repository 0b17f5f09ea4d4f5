"""Candidates spread evenly over the whole space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution
from scipy.stats import qmc

from autocompress.explore.choosers import place
from autocompress.explore.proposals.base import Proposal
from autocompress.explore.proposals.mutation import Breeder
from autocompress.explore.record import TrialRecord

_DRAWS = 64


class Sobol:
    """A scrambled Sobol sequence with a dimension for every parameter a candidate may have.

    A candidate reads only the dimensions of the parameters it has, so that conditions do no harm
    (Owen 1998, "Scrambling Sobol' and Niederreiter–Xing points").

    Args:
        breeder: Knows the space.
        seed: Seed of the sweep.
    """

    def __init__(self, breeder: Breeder, *, seed: int) -> None:
        rng = np.random.default_rng(0)
        for _ in range(_DRAWS):
            breeder.random(rng)
        self._breeder = breeder
        self._columns = {name: i for i, name in enumerate(sorted(breeder.domains))}
        self._seed = seed

    def propose(self, number: int, records: Sequence[TrialRecord]) -> Proposal | None:
        """See :meth:`autocompress.explore.proposals.Proposer.propose`."""
        del records
        sequence = qmc.Sobol(max(len(self._columns), 1), rng=self._seed)
        if number:
            sequence.fast_forward(number)
        point = sequence.random()[0]
        where = {name: float(point[column]) for name, column in self._columns.items()}
        return Proposal("sampler", self._breeder.built_by(_At(where)))


class _At:
    """A chooser that takes every parameter at a given position; in the middle where there is none.

    Args:
        where: Positions in [0, 1) by parameter name.
    """

    def __init__(self, where: Mapping[str, float]) -> None:
        self._where = where

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(place(self._at(name), FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(place(self._at(name), IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._at(name) * len(choices))]

    def _at(self, name: str) -> float:
        return self._where.get(name, 0.5)

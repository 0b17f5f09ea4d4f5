"""Candidates spread evenly over the whole space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import qmc

from autocompress.explore.choosers import ByDomain, Domain, place
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


class _At(ByDomain):
    """A chooser that takes every parameter at a given position; in the middle where there is none.

    Args:
        where: Positions in [0, 1) by parameter name.
    """

    def __init__(self, where: Mapping[str, float]) -> None:
        self._where = where

    def take(self, name: str, domain: Domain) -> Any:
        position = self._where.get(name, 0.5)
        if isinstance(domain, CategoricalDistribution):
            return domain.choices[int(position * len(domain.choices))]
        return place(position, domain)

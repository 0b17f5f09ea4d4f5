"""The proposer that goes with a sampler."""

from __future__ import annotations

import numpy as np
from torch import nn

from autocompress.errors import SchemeError
from autocompress.explore.choosers import Fixed, Random
from autocompress.explore.objectives import Objectives
from autocompress.explore.proposals.base import Proposer
from autocompress.explore.proposals.features import Guess
from autocompress.explore.proposals.guided import Guided
from autocompress.explore.proposals.mutation import Breeder, Params
from autocompress.explore.proposals.sobol import Sobol
from autocompress.explore.space import SearchSpace
from autocompress.explore.strategy import GUIDED
from autocompress.layers import find_layers


def make_proposer(
    sampler: str,
    *,
    space: SearchSpace,
    model: nn.Module,
    objectives: Objectives,
    seed: int,
    guess: Guess | None = None,
) -> Proposer | None:
    """Return who proposes candidates before Optuna's sampler is asked; None: nobody.

    Args:
        sampler: The sampler's name, not ``auto``.
        space: The space.
        model: The reference.
        objectives: What is optimized, resolved.
        seed: Seed of the sweep.
        guess: What is known of candidates before any trial, such as their sensitivities.
    """
    layers = find_layers(model)
    breeder = Breeder(space, layers)
    if sampler == "qmc":
        return Sobol(breeder, seed=seed)
    if sampler != GUIDED:
        return None

    checker = space.checker(layers)

    def digest(params: Params) -> str | None:
        """Return the digest of a candidate; None if it cannot be, or breaks a constraint."""
        if checker.broken(params):
            return None
        chooser = Fixed(params, Random(np.random.default_rng(0)))  # nothing is left to chance
        try:
            return space.sample(chooser, layers).digest(model)
        except SchemeError:
            return None

    return Guided(breeder, objectives, seed=seed, guess=guess, digest=digest)

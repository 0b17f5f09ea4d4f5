"""Which sampler a search should have: by its parameters, their conditions and its budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autocompress.explore.choosers import Random, Recorder
from autocompress.explore.rules import Layers
from autocompress.explore.space import SearchSpace

GUIDED = "guided"
MANY = 2000
"""Trials from which on a regression's own time would count."""
_DRAWS = 64


@dataclass(frozen=True)
class Dimensions:
    """How many parameters the candidates of a space have.

    Attributes:
        parameters: Different ones in all.
        conditional: Those that some candidates do not have.
    """

    parameters: int = 0
    conditional: int = 0

    @classmethod
    def of(cls, space: SearchSpace, layers: Layers) -> Dimensions:
        """Count them over candidates drawn at random, always the same ones."""
        rng = np.random.default_rng(0)
        groups = space.groups(layers)
        found: list[set[str]] = []
        for _ in range(_DRAWS):
            record = Recorder(Random(rng))
            for group in groups:
                group.choose(record)
            space.recipe.draw(record)
            found.append({name for name, d in record.domains.items() if not d.single()})
        every: set[str] = set().union(*found)
        always = {name for name in every if all(name in names for names in found)}
        return cls(len(every), len(every - always))

    def __str__(self) -> str:
        return f"{self.parameters} parameters, {self.conditional} of them conditional"


def choose(name: str, *, trials: int, dimensions: Dimensions, objectives: int) -> tuple[str, str]:
    """Return the sampler's name and why this one.

    ``auto`` is ``guided``, which learns from sizes, sensitivities and results alike. From 2000
    trials on, where its own time would count, it is an evolutionary sampler, which takes none:
    ``nsga2``, or ``nsga3`` with more than three objectives; where there is hardly anything to
    choose (one parameter), ``qmc`` covers the range evenly.

    Args:
        name: What was asked for.
        trials: How many trials are planned.
        dimensions: The parameters.
        objectives: How many objectives there are.
    """
    if name != "auto":
        return name, "as asked"
    if dimensions.parameters == 1 and not dimensions.conditional:
        return "qmc", "auto: one parameter, covered evenly"
    if trials < MANY:
        return GUIDED, f"auto: {trials} trials, {dimensions}"
    name = "nsga2" if objectives <= 3 else "nsga3"
    return name, f"auto: {trials} trials, {objectives} objectives, {dimensions}"

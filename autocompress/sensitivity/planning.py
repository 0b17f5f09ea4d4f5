"""Whether a sweep is worth measuring sensitivities for, and what it then begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

from autocompress.data import Data
from autocompress.explore import seeding as uniform
from autocompress.explore.rules import Layers
from autocompress.explore.seeding import Seed
from autocompress.explore.sensible import sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.recipe import LC, Recipe
from autocompress.sensitivity.cache import sensitivity
from autocompress.sensitivity.levels import make_picks
from autocompress.sensitivity.measure import SAMPLES
from autocompress.sensitivity.seeds import make_seeds
from autocompress.sensitivity.table import Sensitivity

Seeding: TypeAlias = Literal["auto", "sensitivity", "uniform", "none"]
NOTE = "sensitivity"
"""Under this key a study remembers its table."""

MOST = 2000
"""Picks that are measured at most, unless asked for."""
SHARE = 0.1
"""Share of a search's passes over data that a table may take."""
FEWEST_TRIALS = 16
FEWEST = 250
_BACKWARD = 3  # a training step costs three forward passes


@dataclass(frozen=True)
class Beginning:
    """What a sweep begins with.

    Attributes:
        seeds: The first candidates.
        table: The sensitivities they come from; None if they do not.
        reason: Why these, for people.
    """

    seeds: list[Seed]
    table: Sensitivity | None
    reason: str


def begin(
    how: Seeding,
    space: SearchSpace,
    model: nn.Module,
    data: Data,
    trials: int,
    *,
    say: Callable[[str], object] | None = None,
) -> Beginning:
    """Return the first candidates of a sweep.

    ``"auto"`` measures sensitivities where they are cheap: for at most 2000 picks, on as many
    validation examples (5000 at most) as keep them below a tenth of what the trials will compute,
    and not at all where that would be fewer than 250, or for fewer than 16 trials.

    Args:
        how: ``"sensitivity"``, ``"uniform"``, ``"none"`` or ``"auto"``.
        space: The space.
        model: The reference.
        data: The data.
        trials: How many trials are planned.
        say: Who is told that sensitivities are measured, and how far that is.

    Raises:
        ConfigError, SchemeError: the space does not fit the model.
        DataError, ModelError: sensitivities cannot be measured.
    """
    layers = find_layers(model)
    if how == "none":
        return Beginning([], None, "no candidates told in advance, as asked")
    samples, reason = _samples(how, space, layers, data, trials)
    if not samples:
        return Beginning(uniform.make_seeds(space, layers, trials), None, reason)
    told = -1

    def progress(done: int, of: int) -> None:
        nonlocal told
        if say is not None and done * 10 // of != told:
            told = done * 10 // of
            say(f"measuring sensitivities: {done} of {of}")

    table = sensitivity(model, data, space, samples=samples, progress=progress)
    return Beginning(make_seeds(space, layers, table, trials), table, reason)


def _samples(
    how: Seeding, space: SearchSpace, layers: Layers, data: Data, trials: int
) -> tuple[int, str]:
    """Return on how many examples to measure, 0 for not at all, and why."""
    if how == "uniform":
        return 0, "uniform candidates first, as asked"
    count = len(make_picks(space, layers))
    passes = SHARE * trials * _steps(sensible_recipe(space)[0]) * _BACKWARD * len(data.train)
    samples = min(SAMPLES, len(data.val), int(passes / count))
    least = min(FEWEST, len(data.val))
    if how == "sensitivity":
        return max(samples, least), "candidates by sensitivity first, as asked"
    if trials < FEWEST_TRIALS:
        return 0, f"auto: uniform candidates first, as there are only {trials} trials"
    if count > MOST:
        return 0, f"auto: uniform candidates first, as there are {count} choices to measure"
    if samples < least:
        return 0, "auto: uniform candidates first, as sensitivities would take too long"
    return samples, f"auto: candidates by sensitivity first ({count} choices measured)"


def _steps(recipe: Recipe) -> int:
    return recipe.mu.steps if isinstance(recipe, LC) else 1

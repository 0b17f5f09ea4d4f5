"""The recipe to take where nothing speaks for another: defaults, as far as a space has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from autocompress.explore.choosers import place
from autocompress.explore.space import SearchSpace
from autocompress.recipe import LC, Adam, Recipe

_DEFAULTS: Mapping[str, Any] = LC().model_dump()
_LABELS: Mapping[str, Any] = {"adam": Adam().model_dump()}


@dataclass
class Sensible:
    """A chooser for recipes: what adapts itself first, then what ``LC`` does by default.

    A choice takes ``"auto"`` where it has it, else the default, else its first value. A range takes
    the value nearest to the default, else its middle: a scale of the automatic mu, whose default
    is 1, lies as near to 1 as can be.

    Attributes:
        params: What was taken.
    """

    params: dict[str, Any] = field(default_factory=dict)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = _near(name, FloatDistribution(low, high, log=log, step=step))
        self.params[name] = value
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value = round(_near(name, IntDistribution(low, high, log=log, step=step)))
        self.params[name] = value
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        default = _default(name)
        if isinstance(default, Mapping):
            default = default.get("name")
        wanted = [value for value in ("auto", default) if value in choices]
        self.params[name] = wanted[0] if wanted else choices[0]
        return self.params[name]


def sensible_recipe(space: SearchSpace) -> tuple[Recipe, dict[str, Any]]:
    """Return a recipe of the space to begin with, and the parameters that give it."""
    chooser = Sensible()
    return space.recipe.sample(chooser), chooser.params


def _near(name: str, domain: FloatDistribution | IntDistribution) -> float:
    default = _default(name)
    if not isinstance(default, (int, float)) or isinstance(default, bool):
        return place(0.5, domain)
    value = float(min(max(default, domain.low), domain.high))
    if domain.step is not None:
        value = domain.low + round((value - domain.low) / domain.step) * domain.step
    return min(value, domain.high)


def _default(name: str) -> Any:
    """Return ``LC``'s default of ``"recipe.mu.steps"`` and the like; None if it has none.

    What is no field's name is the label of a choice.
    """
    found: Any = _DEFAULTS
    for part in name.split(".")[1:]:
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        else:
            found = _LABELS.get(part, found)
    return None if found is _DEFAULTS else found

"""How accuracy is recovered: recipes, mu schedules, optimizers; and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from torch import nn

from autocompress import yamlio
from autocompress.compression.extension import extensions
from autocompress.errors import ConfigError, unknown
from autocompress.jsonform import digest_of, require_keys
from autocompress.plan import Plan
from autocompress.regularizers import REGULARIZERS, Regularizer
from autocompress.settings import Settings

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class MuSchedule(Settings):
    """The penalty parameter of each L-C step: ``mu_j = min(start · factor**j, cap)``.

    Attributes:
        start: mu of the first L step, or ``"auto"``.
        scale: Multiplies an automatic start: a range of it means the same for any model.
        factor: Growth per step, at least 1, or ``"auto"``.
        steps: Number of L-C steps after direct compression.
        cap: Largest mu.

    ``"auto"`` is resolved from the reference model, the plan, the optimizer and the number of
    steps when the loop starts; see :mod:`autocompress.lc.auto_mu`.
    """

    start: Positive | Literal["auto"] = "auto"
    scale: Positive = 1.0
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | Literal["auto"] = "auto"
    steps: PositiveInt = 20
    cap: Positive = 1e4

    def at(self, step: int) -> float:
        """Return mu of L-C step ``step`` (0 is the first L step).

        Raises:
            ConfigError: start or factor is still ``"auto"``.
        """
        if self.start == "auto" or self.factor == "auto":
            raise ConfigError("mu schedule: 'auto' has not been resolved yet")
        return min(self.start * self.factor**step, self.cap)


class SGD(Settings):
    """Stochastic gradient descent (``torch.optim.SGD``)."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: NonNegative = 0.0


class Adam(Settings):
    """Adam (``torch.optim.Adam``)."""

    name: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: NonNegative = 0.0


_TERMS = "regularizers"
Optimizer = Annotated[SGD | Adam, Field(discriminator="name")]


def _regularizer(value: object) -> object:
    """Build a regularizer from its JSON form; ``name`` says which."""
    if isinstance(value, Regularizer) or not isinstance(value, Mapping):
        return value
    name = value.get("name")
    if name not in REGULARIZERS:
        raise unknown("regularizer", name, REGULARIZERS)
    return REGULARIZERS[name](**value)


def _schedule(value: object) -> object:
    return MuSchedule() if value == "auto" else value


class LC(Settings):
    """The Learning-Compression algorithm.

    Attributes:
        mu: The mu schedule; ``"auto"`` is ``MuSchedule()``.
        penalty: ``"augmented-lagrangian"`` keeps multipliers, ``"quadratic"`` keeps them at 0; so
            do tasks with a weighting of their own, whatever is said here.
        epochs_per_step: Passes over the training data in an L step; ``"auto"`` is one, or as many
            as make 50 iterations where the data set is small.
        first_step_epochs: The same for the first L step; None means as many as for the others.
        optimizer: Optimizer of the L step, started afresh in each.
        lr_decay: Factor on the learning rate after each L-C step. The learning rate is also kept
            below 1/mu, where gradient descent on the penalty alone would begin to diverge.
        batch_size: Training batch size, samples.
        tolerance: Stop, converged, once ‖w − Δ(Θ)‖ ≤ tolerance · ‖w‖.
        amp: Run the L step's forward pass under bfloat16 autocast.
        regularizers: Terms added to the L step's loss, see :mod:`autocompress.regularizers`.
    """

    method: Literal["lc"] = "lc"
    mu: Annotated[MuSchedule, BeforeValidator(_schedule)] = MuSchedule()
    penalty: Literal["augmented-lagrangian", "quadratic"] = "augmented-lagrangian"
    epochs_per_step: PositiveInt | Literal["auto"] = "auto"
    first_step_epochs: PositiveInt | None = None
    optimizer: Optimizer = SGD()
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.98
    batch_size: PositiveInt = 128
    tolerance: NonNegative = 1e-4
    amp: bool = False
    regularizers: tuple[
        Annotated[SerializeAsAny[Regularizer], BeforeValidator(_regularizer)], ...
    ] = ()

    @model_serializer(mode="wrap")
    def _without_regularizers(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the key out where there are none: recipes without any keep their digests."""
        data: dict[str, Any] = handler(self)
        return data if self.regularizers else {k: v for k, v in data.items() if k != _TERMS}


class Direct(Settings):
    """Direct compression: one C step of the reference, no training."""

    method: Literal["direct"] = "direct"


Recipe = LC | Direct
_RECIPES: dict[str, type[LC] | type[Direct]] = {"lc": LC, "direct": Direct}


def recipe_from_dict(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Build a recipe from its JSON form; ``method`` (default ``lc``) says which.

    Raises:
        ConfigError: naming the key and what would be accepted.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a mapping, not {data!r}")
    method = data.get("method", "lc")
    if method not in _RECIPES:
        raise ConfigError(f"{where}.method = {method!r}: known are {', '.join(_RECIPES)}")
    try:
        return _RECIPES[method](**data)
    except ConfigError as error:
        raise type(error)(f"{where}: {error}") from None


@dataclass(frozen=True)
class Candidate:
    """What a search samples and a trial runs: a plan and a recipe."""

    plan: Plan
    recipe: Recipe

    @property
    def steps(self) -> int:
        """L-C steps that it takes after direct compression; 0 if there are none."""
        return self.recipe.mu.steps if isinstance(self.recipe, LC) and self.plan.tasks else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**self.plan.to_dict(), "recipe": self.recipe.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "candidate") -> Self:
        """Build a candidate from its JSON form; the recipe may be left out."""
        require_keys(data, {"tasks"}, where, optional=("recipe",))
        plan = Plan.from_dict({"tasks": data["tasks"]}, where=where)
        return cls(plan, recipe_from_dict(data.get("recipe", {}), where=f"{where}.recipe"))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a candidate, or a plan, from a YAML file of your own.

        Schemes of other packages that it names (``module:Class``) are imported.

        Raises:
            ConfigError, SchemeError: naming file, key and what would be accepted.
        """
        data = yamlio.load(path)
        extensions.allow_in(data, where=str(path))
        return cls.from_dict(data, where=str(path))

    def digest(self, model: nn.Module) -> str:
        """Return 16 hex digits equal for candidates that are the same modulo symmetry.

        With nothing to compress the recipe does not matter: the result is the reference itself.
        """
        plan = self.plan.canonical(model)
        recipe = self.recipe.model_dump(mode="json") if plan.tasks else None
        return digest_of({"plan": plan.to_dict(), "recipe": recipe})

"""What a regularizer is: settings, and the mathematics of one weight tensor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, PositiveInt, model_validator
from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.settings import Settings

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Regularizer(Settings):
    """A term ``strength · Σ R(W)`` added to the loss of the L step; concrete ones are frozen.

    Attributes:
        name: Name in YAML.
        strength: Its factor, > 0.
        params: Parameters W it is of, one by one: names or patterns, by the rules of ``Task``;
            by default the weights of all linear and convolutional layers.
        mode: ``"gradient"`` adds ``strength · ∇R`` to the gradient before each optimizer step.
            ``"proximal"`` replaces W by ``argmin lr · strength · R(X) + 1/2 ‖X − W‖²`` after it,
            which reaches exact zeros; only some have it.
        every: Do that at each so many iterations only, as many times as strong: for regularizers
            that decompose matrices.
    """

    closed_prox: ClassVar[bool] = False
    """Whether :meth:`prox` exists."""

    name: str
    strength: Positive
    params: Annotated[tuple[str, ...], BeforeValidator(_patterns), Field(min_length=1)] = (
        "*weight",
    )
    mode: Literal["gradient", "proximal"] = "gradient"
    every: PositiveInt = 1

    @model_validator(mode="after")
    def _has_prox(self) -> Self:
        if self.mode == "proximal" and not self.closed_prox:
            raise ValueError(
                f"{self.name!r} has no proximal operator in closed form: use mode 'gradient'"
            )
        return self

    def matrices(self) -> bool:
        """Whether a weight must have two dimensions at least."""
        return False

    @abstractmethod
    def measure(self, weight: Tensor) -> Tensor:
        """Return R(W) of one weight, a scalar of its dtype, without the strength."""

    @abstractmethod
    def slope(self, weight: Tensor) -> Tensor:
        """Return ∇R(W), of the weight's shape, dtype and device; 0 in directions of a kink."""

    def shrink(self, weight: Tensor, step: float) -> Tensor:
        """Return ``argmin step · R(X) + 1/2 ‖X − W‖²``, of the weight's shape."""
        raise NotImplementedError

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        """Return ``strength · Σ R(W)`` of some weights."""
        return self.strength * torch.stack([self.measure(w) for w in weights]).sum()

    def gradient(self, weight: Tensor) -> Tensor:
        """Return ``strength · ∇R(W)`` of one weight."""
        return self.strength * self.slope(weight)

    def prox(self, weight: Tensor, step: float) -> Tensor:
        """Return ``argmin step · strength · R(X) + 1/2 ‖X − W‖²`` of one weight.

        Raises:
            ConfigError: there is no closed form.
        """
        if not self.closed_prox:
            raise ConfigError(f"{self.name!r} has no proximal operator in closed form")
        return self.shrink(weight, step * self.strength)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise ConfigError if a parameter of this shape has no R."""
        if self.matrices() and len(shape) < 2:
            raise ConfigError(
                f"regularizer {self.name!r} is of matrices and filter banks: {name!r} has shape "
                f"{shape}; leave it out of 'params'"
            )

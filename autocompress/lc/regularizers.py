"""Regularizers of a recipe, on the parameters of a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from autocompress.lc.penalty import grad_of
from autocompress.parameters import match
from autocompress.regularizers import Regularizer


class Terms:
    """Regularizers with the parameters they are of, during one L step.

    Args:
        model: The model.
        regularizers: At least one; several act one after the other.

    Raises:
        PlanError: a pattern that matches no parameter of the model.
        ConfigError: a regularizer of matrices on a vector.
    """

    def __init__(self, model: nn.Module, regularizers: Sequence[Regularizer]) -> None:
        params = dict(model.named_parameters())
        self._members: list[tuple[Regularizer, list[nn.Parameter]]] = []
        for regularizer in regularizers:
            names = match(regularizer.params, model, f"regularizer {regularizer.name!r}")
            for name in names:
                regularizer.check(name, tuple(params[name].shape))
            trainable = [params[n] for n in names if params[n].requires_grad]
            self._members.append((regularizer, trainable))
        self._iteration = 0

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients of those in gradient mode to ``.grad``; call it after ``backward``."""
        for regularizer, params in self._due("gradient"):
            for param in params:
                grad_of(param).add_(regularizer.gradient(param.detach()), alpha=regularizer.every)

    @torch.no_grad()
    def shrink(self, lr: float) -> None:
        """Apply the proximal operators; call it after the optimizer's step, once an iteration.

        Args:
            lr: The optimizer's learning rate.
        """
        for regularizer, params in self._due("proximal"):
            for param in params:
                param.copy_(regularizer.prox(param.detach(), lr * regularizer.every))
        self._iteration += 1

    def _due(self, mode: str) -> list[tuple[Regularizer, list[nn.Parameter]]]:
        return [
            (regularizer, params)
            for regularizer, params in self._members
            if regularizer.mode == mode and self._iteration % regularizer.every == 0
        ]


def bind(model: nn.Module, regularizers: Sequence[Regularizer]) -> Terms | None:
    """Return the terms of a recipe on a model; None without any, so that they cost nothing.

    Raises:
        PlanError, ConfigError: see :class:`Terms`.
    """
    return Terms(model, regularizers) if regularizers else None

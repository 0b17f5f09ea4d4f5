"""What one L step may do: how many epochs, and at which learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autocompress.recipe import LC, SGD

ENOUGH = 50
"""Iterations of an L step that ``epochs_per_step="auto"`` makes at least."""


@dataclass(frozen=True)
class LStep:
    """What one L step may do: its 0-based number, its mu, learning rate and number of epochs."""

    step: int
    mu: float
    lr: float
    epochs: int


def l_step(recipe: LC, step: int, mu: float, iterations: int) -> LStep:
    """Return what L step ``step`` may do, where an epoch has so many iterations."""
    return LStep(step, mu, learning_rate(recipe, step, mu), epochs(recipe, step, iterations))


def epochs(recipe: LC, step: int, iterations: int) -> int:
    """Return the number of epochs of L step ``step``, where an epoch has so many iterations."""
    if step == 0 and recipe.first_step_epochs is not None:
        return recipe.first_step_epochs
    if recipe.epochs_per_step != "auto":
        return recipe.epochs_per_step
    return math.ceil(ENOUGH / iterations)


def learning_rate(recipe: LC, step: int, mu: float) -> float:
    """Return the learning rate of L step ``step``.

    ``lr · decay^step``, and with SGD at most 1/mu, above which descent on the penalty overshoots
    (the clipped schedule of Carreira-Perpiñán & Idelbayev, CVPR 2018).
    """
    lr = recipe.optimizer.lr * recipe.lr_decay**step
    return min(lr, 1 / mu) if isinstance(recipe.optimizer, SGD) and mu > 0 else lr

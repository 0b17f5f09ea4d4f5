"""Default mu schedules, derived from the problem at hand."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.recipe import LC, SGD, MuSchedule


@dataclass(frozen=True)
class Problem:
    """What the schedule is derived from.

    Attributes:
        distance: ‖w − Δ(Θ)‖² of direct compression.
        loss_increase: Training loss of direct compression minus that of the reference.
        iterations: Optimizer steps in one L step.
    """

    distance: float
    loss_increase: float
    iterations: int


def resolve(recipe: LC, problem: Problem) -> MuSchedule:
    """Replace ``"auto"`` in a recipe's mu schedule by numbers."""
    schedule = recipe.mu
    steps = schedule.steps
    lr = recipe.optimizer.lr
    gain = lr / (1 - recipe.optimizer.momentum) if isinstance(recipe.optimizer, SGD) else lr
    start, factor = schedule.start, schedule.factor
    first, last = 0.4 / (gain * problem.iterations), 10.0 / (gain * problem.iterations)
    if start == "auto":
        start = first
    if factor == "auto":
        factor = max(1.0, (last / start) ** (1 / max(steps - 1, 1)))
    return MuSchedule(start=start, factor=factor, steps=steps, cap=schedule.cap)

"""Default mu schedules, derived from the problem at hand.

What matters is how far one L step can pull w towards Δ(Θ). Gradient descent with effective
learning rate η closes the gap by a factor ``exp(−η mu T)`` in T iterations, so ``1 / (η T)`` is the
natural unit of mu. Starting at ``START`` units, w leaves the reference without being torn from it;
the schedule then grows by as much as it has steps: ``factor = steps^(1 / (steps − 1))``, which is
the 1.1 of the L-C papers at their 40 steps and larger where there are fewer. Where nothing discrete
can freeze (low rank), it starts at 1 unit and ends at 10 whatever the number of steps.

A second scale comes from the reference and the plan: at ``mu* = 2 ΔL / ‖w − Δ‖²`` direct
compression costs the penalty as much as it costs the loss ΔL. Below it the loss holds w back, so
the schedule ends no lower than about there. It says nothing of the start: where direct compression
costs next to nothing mu* is tiny, and a short schedule from there never closes the gap.

The constants come from a grid over start and end for pruning, codebooks and low rank, with 8, 20
and 40 steps; ``benchmarks/auto_mu.py`` repeats the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.recipe import LC, SGD, MuSchedule

START = 0.2
"""First mu, in units of 1 / (effective learning rate · iterations of an L step)."""
SMOOTH = (1.0, 10.0)
"""First and last mu of plans without discrete choices, in the same units."""


@dataclass(frozen=True)
class Problem:
    """What the schedule is derived from.

    Attributes:
        distance: ‖w − Δ(Θ)‖² of direct compression.
        loss_increase: Training loss of direct compression minus that of the reference.
        iterations: Optimizer steps in one L step.
        smooth: Whether no scheme of the plan makes discrete choices.
    """

    distance: float
    loss_increase: float
    iterations: int
    smooth: bool = False


def resolve(recipe: LC, problem: Problem) -> MuSchedule:
    """Replace ``"auto"`` in a recipe's mu schedule by numbers; given ones are kept."""
    schedule = recipe.mu
    steps = schedule.steps
    balance = _balance(problem)
    if schedule.start == "auto":
        units = SMOOTH[0] if problem.smooth else START
        start = min(units * _unit(recipe, problem) * schedule.scale, schedule.cap)
    else:
        start = schedule.start
    if schedule.factor == "auto":
        end = SMOOTH[1] * _unit(recipe, problem) if problem.smooth else start * steps
        end = max(end, 0.5 * (balance or 0.0))
        factor = max(1.0, (end / start) ** (1 / max(steps - 1, 1)))
    else:
        factor = schedule.factor
    return MuSchedule(start=start, factor=factor, steps=steps, cap=schedule.cap)


def _unit(recipe: LC, problem: Problem) -> float:
    """The mu whose pull closes the gap by a factor e in one L step."""
    optimizer = recipe.optimizer
    if isinstance(optimizer, SGD):
        return (1 - optimizer.momentum) / (optimizer.lr * problem.iterations)
    # Adam's step does not grow with the gradient: only the balance with the loss has a scale
    return _balance(problem) or 1 / (optimizer.lr * problem.iterations)


def _balance(problem: Problem) -> float | None:
    """mu*, or None where direct compression changes nothing or costs nothing."""
    if problem.distance <= 0 or problem.loss_increase <= 0:
        return None
    return 2 * problem.loss_increase / problem.distance

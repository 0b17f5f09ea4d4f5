"""The Learning-Compression algorithm: the one loop.

Augmented Lagrangian of ``min L(w) s.t. w = Δ(Θ)`` (Carreira-Perpiñán 2017, arXiv:1707.01209)::

    L step       w ← argmin L(w) + mu/2 ‖w − Δ(Θ) − λ/mu‖²
    C step       Θ ← argmin mu/2 ‖(w − λ/mu) − Δ(Θ)‖²
    multipliers  λ ← λ − mu (w − Δ(Θ))          (λ = 0 throughout: quadratic penalty)
    mu           mu ← factor · mu

Step 0 is direct compression, the limit mu → 0⁺: Θ is the projection of the reference.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.compression.weighting import Weighting
from autocompress.lc import auto_mu
from autocompress.lc.budget import epochs, l_step
from autocompress.lc.learner import Learner
from autocompress.lc.penalty import swapped
from autocompress.lc.record import StepRecord
from autocompress.lc.state import Best, Solution, State
from autocompress.lc.warm import Warm
from autocompress.lc.working import WorkingCopy
from autocompress.plan import Plan
from autocompress.recipe import LC, Direct, MuSchedule

OnStep = Callable[[StepRecord], object]
"""Called after every step; returning True stops the loop there."""


def run(
    model: nn.Module,
    plan: Plan,
    recipe: LC | Direct,
    learner: Learner,
    *,
    on_step: OnStep | None = None,
    state: State | None = None,
    retell: OnStep | None = None,
    on_state: Callable[[State], None] | None = None,
    weightings: Mapping[str, Weighting] | None = None,
    warm: Warm | None = None,
) -> Solution:
    """Compress a model.

    Args:
        model: The reference; a copy is worked on.
        plan: What to compress.
        recipe: ``LC``, or ``Direct`` for step 0 alone.
        learner: Trains and validates.
        on_step: Called with every new record; a return value of True stops the loop.
        state: Continue from here instead of starting; ``on_step`` is not called again for the
            steps that lie behind.
        retell: Called for those instead, the last of which may never have been answered; True
            for any of them ends the loop where the state is.
        on_state: Called with the state after every step, to save it.
        weightings: Norms of the C steps other than the identity, by task name.
        warm: Start from here instead of from the reference, see :mod:`autocompress.lc.warm`.
            Direct compression and empty plans are what they are, and do not look at it; neither
            does a loop that continues from a ``state``.

    Raises:
        PlanError: the plan does not fit the model.
        ModelError: the warm weights are not this model's.
    """
    loop = _Loop(WorkingCopy(model, plan, weightings or {}), recipe, learner)
    if state is None:
        state = loop.start(warm)
        stop = _report(state, on_step, on_state)
    else:
        loop.restore(state)
        stop = retell is not None and True in [retell(record) for record in state.history]
    while not stop:
        status = loop.finished(state)
        if status is not None:
            return Solution(status, state.best, state.history)
        following = loop.advance(state)
        if following is None:
            return Solution("diverged", state.best, state.history)
        state = following
        stop = _report(state, on_step, on_state)
    return Solution("stopped", state.best, state.history)


def _report(state: State, on_step: OnStep | None, on_state: Callable[[State], None] | None) -> bool:
    if on_state is not None:
        on_state(state)
    return on_step is not None and on_step(state.history[-1]) is True


class _Loop:
    """The steps of the algorithm on one working copy w of the model."""

    def __init__(self, copy: WorkingCopy, recipe: LC | Direct, learner: Learner) -> None:
        self.copy = copy
        self.recipe = recipe
        self.learner = learner

    def start(self, warm: Warm | None = None) -> State:
        """Direct compression of the reference, or of the warm weights."""
        began = time.perf_counter()
        if self.copy.trivial or not isinstance(self.recipe, LC):
            warm = None
        if warm is not None:
            self.copy.warm(warm)
        train_loss = self.learner.sample_loss(self.copy.model)
        mu = self.known_mu()
        # direct compression is the limit mu → 0, where penalties would leave nothing
        first = mu.at(0) if self.copy.penalized and mu is not None else 0.0
        codes = self.copy.c_step({}, {}, first)
        decoded = self.copy.decode(codes)
        record = self.record(0, first, 0, train_loss, codes, decoded, began)
        if mu is None:
            mu = self.balanced_mu(train_loss, decoded)
        multipliers: dict[str, Tensor] = {}
        if isinstance(self.recipe, LC) and self.recipe.penalty == "augmented-lagrangian":
            multipliers = self.copy.multipliers(warm, mu.at(0))
        best = Best(record, codes, self.copy.rest())
        return self.snapshot(mu, codes, multipliers, best, (record,))

    def known_mu(self) -> MuSchedule | None:
        """Return the mu schedule if it does not depend on what direct compression costs.

        With penalties it cannot: what direct compression costs depends on mu itself.
        """
        if not isinstance(self.recipe, LC):
            return MuSchedule(start=1.0, factor=1.0)
        if "auto" not in (self.recipe.mu.start, self.recipe.mu.factor):
            return self.recipe.mu
        if self.copy.penalized:
            return auto_mu.resolve(self.recipe, auto_mu.Problem(0.0, 0.0, self.first_iterations()))
        return None

    def balanced_mu(self, train_loss: float, decoded: Mapping[str, Tensor]) -> MuSchedule:
        """Resolve an automatic schedule from what direct compression costs."""
        assert isinstance(self.recipe, LC)
        with swapped(self.copy.params, decoded):
            increase = self.learner.sample_loss(self.copy.model) - train_loss
        distance = sum(float(gap.square().sum()) for gap in self.copy.gaps(decoded).values())
        problem = auto_mu.Problem(distance, increase, self.first_iterations(), self.copy.smooth)
        return auto_mu.resolve(self.recipe, problem)

    def first_iterations(self) -> int:
        """Return the number of optimizer steps of an L step after the first."""
        assert isinstance(self.recipe, LC)
        return self.learner.iterations(epochs(self.recipe, 1, self.learner.iterations(1)))

    def restore(self, state: State) -> None:
        """Put the working copy, the learner and the random generators where a state left them."""
        self.learner.load_state(state.learner)
        self.copy.restore(state.weights, state.rng)

    def finished(self, state: State) -> str | None:
        """Return the final status if there is nothing left to do."""
        if not isinstance(self.recipe, LC) or self.copy.trivial:
            return "finished"
        last = state.history[-1]
        if last.step > 0 and last.violation <= self.recipe.tolerance:
            return "converged"
        return "finished" if last.step >= state.mu.steps else None

    def advance(self, state: State) -> State | None:
        """One L step, one C step, one multiplier step; None if it diverged."""
        assert isinstance(self.recipe, LC)
        began = time.perf_counter()
        index = state.history[-1].step
        mu = state.mu.at(index)
        penalty = self.copy.penalty(self.copy.decode(state.codes), state.multipliers, mu)
        budget = l_step(self.recipe, index, mu, self.learner.iterations(1))
        train_loss = self.learner.learn(self.copy.model, penalty, budget)
        if not math.isfinite(train_loss) or not self.copy.finite():
            return None
        codes = self.copy.c_step(state.codes, state.multipliers, mu)
        decoded = self.copy.decode(codes)
        multipliers = self.copy.multiplier_step(state.multipliers, decoded, mu)
        record = self.record(index + 1, mu, budget.epochs, train_loss, codes, decoded, began)
        best = state.best
        # with penalties only the last step solves the problem posed; before it, sizes differ
        if self.copy.penalized or best.beaten_by(record):
            best = Best(record, codes, self.copy.rest())
        return self.snapshot(state.mu, codes, multipliers, best, (*state.history, record))

    def record(
        self,
        step: int,
        mu: float,
        epochs: int,
        train_loss: float,
        codes: Mapping[str, Code],
        decoded: Mapping[str, Tensor],
        began: float,
    ) -> StepRecord:
        """Validate the compressed model and describe the step."""
        with swapped(self.copy.params, decoded):
            validation = self.learner.validate(self.copy.model)
        return StepRecord(
            step=step,
            mu=mu,
            epochs=epochs,
            train_loss=train_loss,
            violation=self.copy.violation(decoded),
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            bits=sum(code.bits() for code in codes.values()),
            seconds=time.perf_counter() - began,
        )

    def snapshot(
        self,
        mu: MuSchedule,
        codes: dict[str, Code],
        multipliers: dict[str, Tensor],
        best: Best,
        history: tuple[StepRecord, ...],
    ) -> State:
        """Return the state after a step; tensors the loop goes on changing are copied."""
        weights, rng = self.copy.weights(), self.copy.rng()
        return State(mu, weights, codes, multipliers, best, history, self.learner.state(), rng)

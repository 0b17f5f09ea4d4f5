"""The Learning-Compression algorithm: the one loop.

Augmented Lagrangian of ``min L(w) s.t. w = Δ(Θ)`` (Carreira-Perpiñán 2017, arXiv:1707.01209)::

    L step       w ← argmin L(w) + mu/2 ‖w − Δ(Θ) − λ/mu‖²
    C step       Θ ← argmin mu/2 ‖(w − λ/mu) − Δ(Θ)‖²
    multipliers  λ ← λ − mu (w − Δ(Θ))          (λ = 0 throughout: quadratic penalty)
    mu           mu ← factor · mu

Step 0 is direct compression, the limit mu → 0⁺: Θ is the projection of the reference.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.compression.weighting import Weighting
from autocompress.errors import ModelError, PlanError
from autocompress.lc import auto_mu
from autocompress.lc.learner import Learner, LStep, learning_rate
from autocompress.lc.penalty import Penalty, swapped
from autocompress.lc.record import StepRecord
from autocompress.lc.state import Best, Solution, State
from autocompress.lc.warm import Warm
from autocompress.plan import Plan
from autocompress.recipe import LC, Direct, MuSchedule

ENOUGH = 50
"""Iterations of an L step that ``epochs_per_step="auto"`` makes at least."""

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
    loop = _Loop(copy.deepcopy(model), plan, recipe, learner, weightings or {})
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

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        recipe: LC | Direct,
        learner: Learner,
        weightings: Mapping[str, Weighting],
    ) -> None:
        self.model = model
        self.weightings = weightings
        self.recipe = recipe
        self.learner = learner
        self.plan = plan.resolve(model)
        self.trivial = not plan.canonical(model).tasks
        self.params = dict(model.named_parameters())
        self.names = [name for task in self.plan.tasks for name in task.params]
        # multipliers belong to the Euclidean norm: a C step in another one, shifted by them, drifts
        self.weighted = {
            name for task in self.plan.tasks if task.weighting != "identity" for name in task.params
        }
        self.penalized = any(task.compression.penalized for task in self.plan.tasks)
        missing = [
            task.name
            for task in self.plan.tasks
            if task.weighting != "identity" and task.name not in weightings
        ]
        if missing:
            raise PlanError(f"no weighting was measured for task {missing[0]!r}: use compress()")

    def start(self, warm: Warm | None = None) -> State:
        """Direct compression of the reference, or of the warm weights."""
        began = time.perf_counter()
        if self.trivial or not isinstance(self.recipe, LC):
            warm = None
        if warm is not None:
            if problem := warm.misfit(self.model.state_dict()):
                raise ModelError(f"the warm start does not fit the model: {problem}")
            self.model.load_state_dict(dict(warm.weights))
        train_loss = self.learner.sample_loss(self.model)
        first = self.first_mu()
        codes = self.c_step({}, {}, mu=first)
        decoded = self.decode(codes)
        record = self.record(0, first, 0, train_loss, codes, decoded, began)
        mu = MuSchedule(start=1.0, factor=1.0)
        multipliers: dict[str, Tensor] = {}
        if isinstance(self.recipe, LC):
            mu = self.resolve_mu(train_loss, decoded)
            if self.recipe.penalty == "augmented-lagrangian":
                multipliers = {n: torch.zeros_like(self.params[n]) for n in self.names}
                if warm is not None:
                    multipliers |= self.warm_multipliers(warm, mu.at(0))
        best = Best(record, codes, self.rest())
        return self.snapshot(mu, codes, multipliers, best, (record,))

    def warm_multipliers(self, warm: Warm, mu: float) -> dict[str, Tensor]:
        """Return the warm start's multipliers of the parameters that have any here."""
        names = [name for name in self.names if name not in self.weighted]
        return {n: v.to(self.params[n]) for n, v in warm.scaled(names, mu).items()}

    def first_mu(self) -> float:
        """Return the mu of direct compression: its limit 0, or where penalties make all depend on
        mu (at 0 they would leave nothing) that of the first L step; 1 without L steps."""
        if not self.penalized:
            return 0.0
        if not isinstance(self.recipe, LC):
            return 1.0
        iterations = self.learner.iterations(self.epochs(1))
        return auto_mu.resolve(self.recipe, auto_mu.Problem(0.0, 0.0, iterations)).at(0)

    def resolve_mu(self, train_loss: float, decoded: dict[str, Tensor]) -> MuSchedule:
        """Resolve an automatic schedule from what direct compression costs."""
        assert isinstance(self.recipe, LC)
        if "auto" not in (self.recipe.mu.start, self.recipe.mu.factor):
            return self.recipe.mu
        with swapped(self.params, decoded):
            increase = self.learner.sample_loss(self.model) - train_loss
        if self.penalized:  # what direct compression costs depends on mu itself: no balance there
            iterations = self.learner.iterations(self.epochs(1))
            return auto_mu.resolve(self.recipe, auto_mu.Problem(0.0, 0.0, iterations))
        distance = sum(float(gap.square().sum()) for gap in self.gaps(decoded).values())
        iterations = self.learner.iterations(self.epochs(1))
        smooth = all(task.compression.smooth for task in self.plan.tasks)
        problem = auto_mu.Problem(distance, increase, iterations, smooth)
        return auto_mu.resolve(self.recipe, problem)

    def epochs(self, index: int) -> int:
        """Return the number of epochs of L step ``index`` (0 is the first)."""
        assert isinstance(self.recipe, LC)
        if index == 0 and self.recipe.first_step_epochs is not None:
            return self.recipe.first_step_epochs
        if self.recipe.epochs_per_step != "auto":
            return self.recipe.epochs_per_step
        return math.ceil(ENOUGH / self.learner.iterations(1))

    def restore(self, state: State) -> None:
        """Put the working copy, the learner and the random generators where a state left them."""
        self.model.load_state_dict(state.weights)
        self.learner.load_state(state.learner)
        torch.set_rng_state(state.rng["cpu"])
        if "cuda" in state.rng:
            torch.cuda.set_rng_state(state.rng["cuda"])

    def finished(self, state: State) -> str | None:
        """Return the final status if there is nothing left to do."""
        if not isinstance(self.recipe, LC) or self.trivial:
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
        epochs = self.epochs(index)
        decoded = self.decode(state.codes)
        multipliers = dict(state.multipliers)
        penalty = Penalty(
            [self.params[n] for n in self.names],
            [decoded[n] for n in self.names],
            [multipliers[n] for n in self.names] if multipliers else None,
            mu,
        )
        budget = LStep(index, mu, learning_rate(self.recipe, index, mu), epochs)
        train_loss = self.learner.learn(self.model, penalty, budget)
        if not math.isfinite(train_loss) or not self.weights_finite():
            return None
        codes = self.c_step(state.codes, multipliers, mu)
        decoded = self.decode(codes)
        if multipliers:
            gaps = self.gaps(decoded)
            multipliers = {
                n: multipliers[n] if n in self.weighted else multipliers[n] - mu * gaps[n]
                for n in self.names
            }
        record = self.record(index + 1, mu, epochs, train_loss, codes, decoded, began)
        best = state.best
        # with penalties only the last step solves the problem posed; before it, sizes differ
        if self.penalized or best.beaten_by(record):
            best = Best(record, codes, self.rest())
        return self.snapshot(state.mu, codes, multipliers, best, (*state.history, record))

    @torch.no_grad()
    def c_step(
        self, previous: dict[str, Code], multipliers: dict[str, Tensor], mu: float
    ) -> dict[str, Code]:
        """Project ``w − λ/mu`` task by task."""
        codes = {}
        for task in self.plan.tasks:
            weights = tuple(
                self.params[n].detach() - multipliers[n] / mu
                if multipliers
                else self.params[n].detach()
                for n in task.params
            )
            codes[task.name] = task.compression.project(
                weights,
                mu=mu,
                previous=previous.get(task.name),
                weighting=self.weightings.get(task.name),
            )
        return codes

    def decode(self, codes: dict[str, Code]) -> dict[str, Tensor]:
        """Return Δ(Θ) by parameter name."""
        return {
            name: value
            for task in self.plan.tasks
            for name, value in zip(task.params, codes[task.name].decode(), strict=True)
        }

    @torch.no_grad()
    def gaps(self, decoded: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``w − Δ(Θ)`` by parameter name."""
        return {name: self.params[name].detach() - value for name, value in decoded.items()}

    def weights_finite(self) -> bool:
        """Whether all parameters are finite."""
        return all(bool(torch.isfinite(p).all()) for p in self.params.values())

    def rest(self) -> dict[str, Tensor]:
        """Return a copy of the state dict without the compressed parameters."""
        compressed = set(self.names)
        state = self.model.state_dict()
        return {n: v.detach().clone() for n, v in state.items() if n not in compressed}

    def record(
        self,
        step: int,
        mu: float,
        epochs: int,
        train_loss: float,
        codes: dict[str, Code],
        decoded: dict[str, Tensor],
        began: float,
    ) -> StepRecord:
        """Validate the compressed model and describe the step."""
        with swapped(self.params, decoded):
            validation = self.learner.validate(self.model)
        gap = _norm(self.gaps(decoded).values())
        size = _norm(self.params[name].detach() for name in self.names)
        return StepRecord(
            step=step,
            mu=mu,
            epochs=epochs,
            train_loss=train_loss,
            violation=gap / size if size else 0.0,
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
        weights = {n: v.detach().clone() for n, v in self.model.state_dict().items()}
        rng = {"cpu": torch.get_rng_state()}
        if any(p.is_cuda for p in self.params.values()):
            rng["cuda"] = torch.cuda.get_rng_state()
        learner = self.learner.state()
        return State(mu, weights, codes, multipliers, best, history, learner, rng)


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(t.to(torch.float64).square().sum()) for t in tensors))

"""The weights w that the loop works on, and the C and multiplier steps upon them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.compression.weighting import Weighting
from autocompress.errors import ModelError, PlanError, SchemeError
from autocompress.lc.penalty import Penalty
from autocompress.lc.warm import Warm
from autocompress.plan import Plan, told


class WorkingCopy:
    """A copy of the model, which the steps of the algorithm change.

    Args:
        model: The reference; not touched.
        plan: What to compress.
        weightings: Norms of the C steps other than the identity, by task name.

    Raises:
        PlanError: the plan does not fit the model, or a task's weighting was not measured.
    """

    def __init__(self, model: nn.Module, plan: Plan, weightings: Mapping[str, Weighting]) -> None:
        self.model = copy.deepcopy(model)
        self.params = dict(self.model.named_parameters())
        self.tasks = plan.resolve(self.model).tasks
        self.trivial = not plan.canonical(self.model).tasks
        self.names = [name for task in self.tasks for name in task.params]
        self.penalized = any(task.compression.penalized for task in self.tasks)
        self.smooth = all(task.compression.smooth for task in self.tasks)
        weighted = [task for task in self.tasks if task.weighting != "identity"]
        if missing := [task.name for task in weighted if task.name not in weightings]:
            raise PlanError(f"no weighting was measured for task {missing[0]!r}: use compress()")
        self._weightings = weightings
        # multipliers belong to the Euclidean norm: a C step in another one, shifted by them, drifts
        self._weighted = {name for task in weighted for name in task.params}

    def warm(self, start: Warm) -> None:
        """Take over the weights of a warm start.

        Raises:
            ModelError: they are not this model's.
        """
        if problem := start.misfit(self.model.state_dict()):
            raise ModelError(f"the warm start does not fit the model: {problem}")
        self.model.load_state_dict(dict(start.weights))

    def multipliers(self, warm: Warm | None, mu: float) -> dict[str, Tensor]:
        """Return the first λ by parameter name: zeros, or those of a warm start for this mu."""
        zeros = {n: torch.zeros_like(self.params[n]) for n in self.names}
        if warm is None:
            return zeros
        names = [name for name in self.names if name not in self._weighted]
        return zeros | {n: v.to(self.params[n]) for n, v in warm.scaled(names, mu).items()}

    def penalty(
        self, decoded: Mapping[str, Tensor], multipliers: Mapping[str, Tensor], mu: float
    ) -> Penalty:
        """Return the L step's pull towards Δ(Θ)."""
        return Penalty(
            [self.params[n] for n in self.names],
            [decoded[n] for n in self.names],
            [multipliers[n] for n in self.names] if multipliers else None,
            mu,
        )

    @torch.no_grad()
    def c_step(
        self, previous: Mapping[str, Code], multipliers: Mapping[str, Tensor], mu: float
    ) -> dict[str, Code]:
        """Project ``w − λ/mu`` task by task."""
        codes = {}
        for task in self.tasks:
            weights = tuple(
                self.params[n].detach() - multipliers[n] / mu
                if multipliers
                else self.params[n].detach()
                for n in task.params
            )
            norm = self._weightings.get(task.name)
            try:
                codes[task.name] = task.compression.project(
                    weights, mu=mu, previous=previous.get(task.name), weighting=norm
                )
            except SchemeError as error:
                raise SchemeError(told(task, str(error))) from None
        return codes

    def multiplier_step(
        self, multipliers: Mapping[str, Tensor], decoded: Mapping[str, Tensor], mu: float
    ) -> dict[str, Tensor]:
        """Return ``λ − mu (w − Δ(Θ))``; none where there are none."""
        if not multipliers:
            return {}
        gaps = self.gaps(decoded)
        return {
            n: multipliers[n] if n in self._weighted else multipliers[n] - mu * gaps[n]
            for n in self.names
        }

    def decode(self, codes: Mapping[str, Code]) -> dict[str, Tensor]:
        """Return Δ(Θ) by parameter name."""
        return {
            name: value
            for task in self.tasks
            for name, value in zip(task.params, codes[task.name].decode(), strict=True)
        }

    @torch.no_grad()
    def gaps(self, decoded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return ``w − Δ(Θ)`` by parameter name."""
        return {name: self.params[name].detach() - value for name, value in decoded.items()}

    def violation(self, decoded: Mapping[str, Tensor]) -> float:
        """Return ‖w − Δ(Θ)‖ / ‖w‖ over the compressed parameters; 0 where w is."""
        gap = _norm(self.gaps(decoded).values())
        size = _norm(self.params[name].detach() for name in self.names)
        return gap / size if size else 0.0

    def finite(self) -> bool:
        """Whether all parameters are finite."""
        return all(bool(torch.isfinite(p).all()) for p in self.params.values())

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the state dict."""
        return {n: v.detach().clone() for n, v in self.model.state_dict().items()}

    def rest(self) -> dict[str, Tensor]:
        """Return a copy of the state dict without the compressed parameters."""
        compressed = set(self.names)
        state = self.model.state_dict()
        return {n: v.detach().clone() for n, v in state.items() if n not in compressed}

    def rng(self) -> dict[str, Tensor]:
        """Return the states of torch's global generators that the steps draw from, by device."""
        states = {"cpu": torch.get_rng_state()}
        if any(p.is_cuda for p in self.params.values()):
            states["cuda"] = torch.cuda.get_rng_state()
        return states

    def restore(self, weights: Mapping[str, Tensor], rng: Mapping[str, Tensor]) -> None:
        """Put w and the generators where they were."""
        self.model.load_state_dict(dict(weights))
        torch.set_rng_state(rng["cpu"])
        if "cuda" in rng:
            torch.cuda.set_rng_state(rng["cuda"])


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(t.to(torch.float64).square().sum()) for t in tensors))

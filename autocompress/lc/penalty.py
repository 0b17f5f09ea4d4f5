"""The quadratic pull of the L step towards the compressed weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Penalty:
    """``mu/2 ‖w − Δ(Θ)‖² − λᵀ(w − Δ(Θ))`` and its gradient ``mu w − (mu Δ(Θ) + λ)``.

    The gradient goes straight into ``.grad`` by fused multi-tensor operations: no autograd graph,
    no temporary. Its first term is a weight decay of mu, which a fused optimizer applies for
    free: the default learner does that and only calls :meth:`subtract_pull`; a loop of your own
    may as well call :meth:`add_grad` after ``backward``.

    Args:
        params: The compressed parameters w.
        decoded: Δ(Θ) for each of them.
        multipliers: λ for each; None means 0 (the quadratic penalty method).
        mu: The penalty parameter, > 0.
    """

    def __init__(
        self,
        params: list[nn.Parameter],
        decoded: list[Tensor],
        multipliers: list[Tensor] | None,
        mu: float,
    ) -> None:
        self.mu = mu
        self.params = params
        self._decoded = decoded
        self._multipliers = multipliers
        # mu Δ + λ is constant during an L step
        self._pull = list(torch._foreach_mul(decoded, mu)) if params else []
        if params and multipliers is not None:
            torch._foreach_add_(self._pull, multipliers)

    @torch.no_grad()
    def subtract_pull(self) -> None:
        """Subtract ``mu Δ(Θ) + λ`` from the parameters' ``.grad``."""
        if self.params:
            torch._foreach_sub_([grad_of(p) for p in self.params], self._pull)

    @torch.no_grad()
    def add_grad(self) -> None:
        """Add the whole gradient to the parameters' ``.grad``; call it after ``backward``."""
        if self.params:
            weights = [p.detach() for p in self.params]
            torch._foreach_add_([grad_of(p) for p in self.params], weights, alpha=self.mu)
            self.subtract_pull()

    @torch.no_grad()
    def value(self) -> float:
        """Return the penalty's value at the current weights."""
        gaps = [p - d for p, d in zip(self.params, self._decoded, strict=True)]
        total = sum(0.5 * self.mu * float(gap.square().sum()) for gap in gaps)
        if self._multipliers is not None:
            total -= sum(float((m * g).sum()) for m, g in zip(self._multipliers, gaps, strict=True))
        return total


def grad_of(param: nn.Parameter) -> Tensor:
    """Return a parameter's ``.grad``, zeros now if it had none."""
    if param.grad is None:
        param.grad = torch.zeros_like(param)
    return param.grad


@contextmanager
def swapped(params: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Give parameters other values inside the block; the old ones come back untouched.

    Args:
        params: Parameters by name.
        values: New values for some of them, of the same shape, dtype and device.
    """
    kept = {name: params[name].data for name in values}
    try:
        for name, value in values.items():
            params[name].data = value
        yield
    finally:
        for name, data in kept.items():
            params[name].data = data

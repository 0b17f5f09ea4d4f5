"""A warm start: the loop begins where another one, on a plan alike, has ended.

Continuation in the plan: the solution for 6 % of the weights is a better place to look for one
with 5 % than the reference is, as long as the plans are near (homotopy; Bengio et al., ICML 2009,
and the path-following of penalty methods, Nocedal & Wright 2006, ch. 17).

What the numbers mean after a warm start:

- **Weights.** Step 0 projects the warm w, not the reference. It is direct compression of weights
  that are nearly compressed already, so its violation and loss are those of a small change.
- **mu.** An automatic schedule is worked out from the warm w: the increase in loss that step 0
  causes, over the squared distance it moves. Where the warm w loses nothing, the natural unit of an
  L step is what remains. The schedule does begin low again: that lets weights leave the old
  plan's solution, at the price of undoing part of what was done. Numbers given for mu are kept.
- **Multipliers.** At the end of a loop λ is close to the gradient of the loss at Δ(Θ), and enters
  the C step as the shift λ/mu. With mu restarted ten times lower that shift would be ten times as
  large and drown the weights. So λ is scaled by ``min(1, mu start / mu end)``: the shift stays
  what it was.

It hurts where the plans differ: weights that the old plan had set to zero, or put on four levels,
have forgotten what the reference knew of them, and a freer plan has to learn it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from autocompress.digests import raw


@dataclass(frozen=True, eq=False)
class Warm:
    """Where a finished loop stood: what another one starts from.

    Attributes:
        weights: The state dict of w.
        multipliers: λ by parameter name, shaped as the parameter; may be empty.
        mu: The last mu, which the multipliers belong to; 0 if there was no L-C step.
    """

    weights: Mapping[str, Tensor]
    multipliers: Mapping[str, Tensor] = field(default_factory=dict)
    mu: float = 0.0

    def scaled(self, names: Iterable[str], mu: float) -> dict[str, Tensor]:
        """Return copies of the multipliers for a loop whose first mu is this one.

        Args:
            names: Parameters to return one for; those without a multiplier are left out.
            mu: The first mu; the shift λ/mu becomes no larger than it was.
        """
        factor = min(1.0, mu / self.mu) if self.mu > 0 else 0.0
        return {n: self.multipliers[n].clone() * factor for n in names if n in self.multipliers}

    def digest(self) -> str:
        """Return hex digits that identify the numbers."""
        sha = hashlib.sha256(repr(self.mu).encode())
        for group in (self.weights, self.multipliers):
            for name, value in group.items():
                sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                sha.update(raw(value))
        return sha.hexdigest()

    def misfit(self, state: Mapping[str, Tensor]) -> str:
        """Return why it does not fit a model's state dict, or an empty text if it does."""
        if set(self.weights) != set(state):
            odd = sorted(set(self.weights) ^ set(state))[0]
            return f"{odd!r} is in one of warm weights and model only"
        for name, value in (*self.weights.items(), *self.multipliers.items()):
            if name not in state or value.shape != state[name].shape:
                return f"{name!r} has another shape than the model's"
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                return f"{name!r} has values that are not finite"
        return ""

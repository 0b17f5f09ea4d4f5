"""Penalties of a vector of magnitudes: of weights, of groups, or of singular values.

Each is a function f of v >= 0, a vector or (where it says so) a matrix whose rows are penalised
one by one, with its gradient, and its proximal operator where it has a closed form::

    prox(v, s) = argmin over x >= 0 of  s f(x) + 1/2 ‖x − v‖²
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


class Penalty(ABC):
    """A penalty of magnitudes."""

    proximal = False
    """Whether it has a proximal operator in closed form."""

    @abstractmethod
    def value(self, v: Tensor) -> Tensor:
        """Return f(v), a scalar."""

    @abstractmethod
    def slope(self, v: Tensor) -> Tensor:
        """Return ∂f/∂v, of the shape of ``v``; at 0 the derivative towards larger v."""

    def prox(self, v: Tensor, step: float) -> Tensor:
        """Return prox(v, step), of the shape of ``v``."""
        raise NotImplementedError


@final
@dataclass(frozen=True)
class Total(Penalty):
    """``f(v) = Σ v``; its proximal operator is the soft threshold."""

    proximal = True

    def value(self, v: Tensor) -> Tensor:
        return v.sum()

    def slope(self, v: Tensor) -> Tensor:
        return torch.ones_like(v)

    def prox(self, v: Tensor, step: float) -> Tensor:
        return (v - step).clamp_(min=0)


@final
@dataclass(frozen=True)
class Ratio(Penalty):
    """``f(v) = Σ v / ‖v‖₂`` of each row, or its square: 1 for one element alone, up to √n (n).

    Hoyer 2004 (JMLR 5) as a measure; as regularizers Krishnan et al. 2011 and, squared, DeepHoyer
    (Yang et al. 2020, arXiv:1908.09979). Does not change with the scale of v.
    """

    square: bool = False

    def value(self, v: Tensor) -> Tensor:
        ratio, _, _ = self._parts(v)
        return (ratio.square() if self.square else ratio).sum()

    def slope(self, v: Tensor) -> Tensor:
        ratio, direction, length = self._parts(v)
        slope = (1 - ratio * direction) / length
        slope = 2 * ratio * slope if self.square else slope
        # nothing to gain where all is 0 or one element is left
        return torch.where(ratio > 0, slope, torch.zeros((), dtype=v.dtype, device=v.device))

    def _parts(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ratio, ``v / ‖v‖₂`` and ``‖v‖₂`` of each row; squares of tiny v are not 0."""
        largest = v.amax(-1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
        direction = v / largest
        length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        direction = direction / length.clamp(min=torch.finfo(v.dtype).tiny)
        return direction.sum(-1, keepdim=True), direction, length.clamp(min=1) * largest


@final
@dataclass(frozen=True)
class Clipped(Penalty):
    """SCAD, of slope 1 at 0: ``v`` up to t, bending to a constant from a·t on.

    ::

        v                                     v <= t
        (2 a t v − v² − t²) / (2 t (a − 1))   t < v <= a t
        t (a + 1) / 2                         a t < v

    Fan & Li 2001 (J. Amer. Statist. Assoc. 96), divided by their λ = t.

    Attributes:
        threshold: t, where it begins to bend.
        a: Where it is constant, in units of t; > 2.
    """

    threshold: float
    a: float
    proximal = True

    def value(self, v: Tensor) -> Tensor:
        return self._each(v).sum()

    def _each(self, v: Tensor) -> Tensor:
        t, a = self.threshold, self.a
        bent = (2 * a * t * v - v.square() - t * t) / (2 * t * (a - 1))
        flat = torch.full_like(v, t * (a + 1) / 2)
        return torch.where(v <= t, v, torch.where(v <= a * t, bent, flat))

    def slope(self, v: Tensor) -> Tensor:
        t, a = self.threshold, self.a
        return ((a * t - v) / (t * (a - 1))).clamp(0, 1)

    def prox(self, v: Tensor, step: float) -> Tensor:
        """The best point of each of the three pieces is known; the best of them is taken."""
        t, a = self.threshold, self.a
        low = (v - step).clamp(0, t)
        high = v.clamp(min=a * t)
        points = [low, high]
        if step < t * (a - 1):  # else the middle piece is concave: best at one of its ends
            middle = (t * (a - 1) * v - step * a * t) / (t * (a - 1) - step)
            points.append(middle.clamp(t, a * t))
        best, cost = low, step * self._each(low) + 0.5 * (low - v).square()
        for point in points[1:]:
            other = step * self._each(point) + 0.5 * (point - v).square()
            best = torch.where(other < cost, point, best)
            cost = torch.minimum(other, cost)
        return best


@final
@dataclass(frozen=True)
class Entropy(Penalty):
    """``f(v) = −Σ p log p``: of the shares ``p = v / Σ v``, or of ``p = softmax(v)``; nats.

    With shares its exponential is the effective rank of Roy & Vetterli 2007 (EUSIPCO).
    """

    softmax: bool = False

    def value(self, v: Tensor) -> Tensor:
        p = self._shares(v)
        return -torch.xlogy(p, p).sum()

    def slope(self, v: Tensor) -> Tensor:
        p = self._shares(v)
        floor = torch.finfo(v.dtype).tiny
        log = p.clamp(min=floor).log()
        surprise = -(log - torch.xlogy(p, p).sum())  # −log p − H
        if self.softmax:
            return p * surprise
        return surprise / v.sum().clamp(min=floor) if bool((v > 0).any()) else torch.zeros_like(v)

    def _shares(self, v: Tensor) -> Tensor:
        if self.softmax:
            return v.softmax(-1)
        return v / v.sum().clamp(min=torch.finfo(v.dtype).tiny)

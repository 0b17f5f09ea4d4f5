"""How far a metric is from its bound along a path of candidates: a Gaussian process in a dimension.

The margin of a candidate is 0 where the metric just meets its bound and above where it does better.
It rises with the candidate's size, about linearly over a factor of e, bends, and is noisy: training
again, or compressing a little less, moves accuracy by a few examples in a thousand.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]

_OFFSET = 0.35
"""Prior standard deviation of the margin at the centre."""
_SLOPE, _SLOPES = 0.35, 0.3
"""Prior mean and standard deviation of the margin's rise over a factor of e in size."""
_NOISES = (0.01, 0.02, 0.04, 0.08, 0.16)
_ASIDES = (0.01, 0.03, 0.09)
_LENGTHS = (0.4, 0.8, 1.6)
_BENDS = (0.1, 0.25)
_USUAL, _SPREAD = 0.03, 0.8
"""Median of noise and of what is beside the path, standard deviation of their logarithms, before
anything is seen."""


@dataclass(frozen=True)
class Requirement:
    """A metric and the bound it has to reach.

    Attributes:
        metric: The metric.
        at_least: Whether the bound is a lower one.
        bound: The bound, in the metric's unit.
        fraction: Whether the metric is a fraction of 1: its distance from 1 is what matters then,
            if it is to be large.
    """

    metric: str
    at_least: bool
    bound: float
    fraction: bool = False

    def met(self, value: float) -> bool:
        """Whether a value reaches the bound; NaN never does."""
        return value >= self.bound if self.at_least else value <= self.bound

    def margin(self, value: float) -> float:
        """Return how much better than the bound a value is, between -1 and 1; -1 for NaN.

        It is the logarithm of a ratio of errors, or of the values themselves if the metric is no
        fraction, bent so that the worst candidates do not outweigh those near the bound.
        """
        if not math.isfinite(value):
            return -1.0
        if self.fraction and self.at_least:
            raw = _log_ratio(1 - self.bound + 1e-3, 1 - value + 1e-3)
        elif self.bound > 0:
            raw = _log_ratio(self.bound, max(value, 1e-9 * self.bound))
            raw = -raw if self.at_least else raw
        else:
            raw = (value - self.bound if self.at_least else self.bound - value) / 0.1
        return raw / (1 + abs(raw))


def _log_ratio(above: float, below: float) -> float:
    return math.log(above / below)


@dataclass(frozen=True)
class Trend:
    """What the margin is likely to be along the path, given some trials.

    Attributes:
        centre: Where the margin is expected to be 0, before anything is seen.
        at: Positions of the trials: logarithms of sizes, shape (n,).
        noise: Standard deviation of a trial's margin.
        aside: That of the margin of what is not on the path, in addition.
        length: Distance over which the trend may bend.
        bend: By how much, standard deviation.
        weights: Inverse covariance times deviation from the prior mean, shape (n,).
        root: Lower Cholesky factor of the covariance, shape (n, n).
    """

    centre: float
    at: Array
    noise: float
    aside: float
    length: float
    bend: float
    weights: Array
    root: Array

    @classmethod
    def fit(cls, at: Array, margins: Array, off: Array, centre: float) -> Self:
        """Fit a trend; noise and bend are those of the greatest posterior density on a grid.

        Args:
            at: Positions of the trials, shape (n,).
            margins: Their margins, shape (n,).
            off: 1 for those that are not on the path, 0 for those that are, shape (n,).
            centre: Where the margin is expected to be 0.
        """
        fits = (
            cls._fit(at, margins, off, centre, *settings)
            for settings in itertools.product(
                _NOISES, _ASIDES if off.any() else (_USUAL,), _LENGTHS, _BENDS
            )
        )
        return max(fits, key=lambda fit: fit[0])[1]

    @classmethod
    def _fit(
        cls,
        at: Array,
        margins: Array,
        off: Array,
        centre: float,
        noise: float,
        aside: float,
        length: float,
        bend: float,
    ) -> tuple[float, Self]:
        """Return the logarithm of the posterior density of some settings, and the trend."""
        covariance = _kernel(at, at, centre, length, bend)
        covariance += np.diag(off * aside**2 + noise**2)
        root = np.linalg.cholesky(covariance)
        left = margins - _SLOPE * (at - centre)
        weights = np.linalg.solve(root.T, np.linalg.solve(root, left))
        density = -0.5 * float(left @ weights) - float(np.log(np.diag(root)).sum())
        density -= 0.5 * (math.log(noise / _USUAL) / _SPREAD) ** 2
        density -= 0.5 * (math.log(aside / _USUAL) / _SPREAD) ** 2
        return density, cls(centre, at, noise, aside, length, bend, weights, root)

    def predict(self, at: Array, *, off: bool = False) -> tuple[Array, Array]:
        """Return mean and variance of the margin of a trial at some positions, noise included.

        Args:
            at: The positions, shape (m,).
            off: Whether the candidates are not on the path.
        """
        cross = _kernel(at, self.at, self.centre, self.length, self.bend)
        mean = _SLOPE * (at - self.centre) + cross @ self.weights
        own = _OFFSET**2 + (_SLOPES * (at - self.centre)) ** 2 + self.bend**2
        told = np.linalg.solve(self.root, cross.T)
        variance = (
            np.maximum(own - (told**2).sum(axis=0), 0.0) + self.noise**2 + off * self.aside**2
        )
        return mean, variance


def _kernel(a: Array, b: Array, centre: float, length: float, bend: float) -> Array:
    """Return the covariance of a line with a smooth bend, shape (len(a), len(b))."""
    line = _OFFSET**2 + _SLOPES**2 * np.outer(a - centre, b - centre)
    distance = (a[:, None] - b[None, :]) / length
    result: Array = line + bend**2 * np.exp(-0.5 * distance**2)
    return result

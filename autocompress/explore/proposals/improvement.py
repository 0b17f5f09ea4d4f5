"""Expected improvement of the hypervolume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from autocompress.analysis.hypervolume import Points, hypervolume, nondominated

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_QUANTILES = (np.arange(16) + 0.5) / 16


def expected_improvement(
    front: Points, mean: Matrix, std: Matrix, bound: tuple[float, ...], rng: np.random.Generator
) -> Vector:
    """Return by how much each candidate is expected to raise the hypervolume.

    Its objectives are independent normal variables (Emmerich et al. 2006, "Single- and
    multiobjective evolutionary optimization assisted by Gaussian random field metamodels"); the
    mean over 16 stratified draws, the same for all candidates.

    Args:
        front: Points so far, to minimise.
        mean: Shape (candidates, objectives).
        std: The same shape.
        bound: The reference point.
        rng: Pairs the strata of different objectives.

    Returns:
        Shape (candidates,).
    """
    strata = np.stack([rng.permutation(_QUANTILES) for _ in bound], axis=1)
    draws = mean[:, None, :] + std[:, None, :] * norm.ppf(strata)[None]
    front = front[nondominated(front)] if len(front) else front
    improve = _plane if len(bound) == 2 else _any
    gains = improve(front, draws.reshape(-1, len(bound)), bound).reshape(len(mean), -1)
    return np.asarray(gains.mean(axis=1))


def _plane(front: Points, draws: Points, bound: tuple[float, ...]) -> Vector:
    """Two objectives: the area between a point and the staircase of the front, step by step."""
    inside = front[(front < np.asarray(bound)).all(axis=1)] if len(front) else front
    steps = inside[np.argsort(inside[:, 0])].reshape(-1, 2)
    left = np.concatenate([[-np.inf], steps[:, 0]])
    right = np.concatenate([steps[:, 0], [bound[0]]])
    height = np.concatenate([[bound[1]], steps[:, 1]])
    width = np.clip(right - np.maximum(left, draws[:, :1]), 0.0, None)
    return np.asarray((width * np.clip(height - draws[:, 1:], 0.0, None)).sum(axis=1))


def _any(front: Points, draws: Points, bound: tuple[float, ...]) -> Vector:
    before = hypervolume(front, bound)
    return np.array([hypervolume(np.vstack([front, draw]), bound) - before for draw in draws])

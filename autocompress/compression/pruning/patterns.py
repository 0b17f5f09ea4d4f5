"""Patterns of n in m: the best one for each group of weights, and patterns as numbers.

Numbers are those of the combinatorial number system, found for many patterns at once: the pattern
with survivors at ``c₁ < c₂ < … < cₙ`` (counted from 0) has rank ``Σᵢ C(cᵢ, i)``, which numbers the
``C(m, n)`` patterns from 0 without a gap (Knuth, TAOCP 4A, 7.2.1.3).
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.tensors import PLAIN

_WEIGHTS = 1 << 17  # weights at a time, and patterns: they stay in cache
_BLOCK = 1 << 14


def best(groups: Tensor, norm: Tensor | None, n: int) -> Tensor:
    """Return which n weights of each group have the largest ``h w²``; ties go to the earlier.

    Args:
        groups: Weights ``(groups, m)``.
        norm: The h, of that shape; None where all are 1.
        n: Survivors of a group.

    Returns:
        A bool mask of that shape.
    """
    if groups.device.type != "cpu":
        scores = groups.abs() if norm is None else groups.to(torch.float64).square() * norm
        # a stable sort leaves ties in order
        order = scores.argsort(dim=1, descending=True, stable=True)[:, :n]
        return torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order, True)
    count, m = groups.shape
    mask = np.empty((count, m), dtype=np.bool_)
    step = max(1, _WEIGHTS // m)
    for start in range(0, count, step):
        where = slice(start, start + step)
        scores = np.abs(_columns(groups[where]))
        if norm is not None:
            scores = np.square(scores, dtype=np.float64) * _columns(norm[where])
        mask[where] = _best(scores, n).T
    return torch.from_numpy(mask)


def _columns(block: Tensor) -> NDArray[Any]:
    """Return groups as columns, in float32 or float64: a row is then all groups' j-th weight."""
    wide = block if block.dtype in PLAIN else block.to(torch.float32)
    return np.array(wide.numpy().T, order="C")


def _best(scores: NDArray[Any], n: int) -> NDArray[np.bool_]:
    """Return the mask of the n largest scores in every column.

    A weight survives if fewer than n of its group beat it. All pairs are compared, row against row:
    m (m − 1) / 2 comparisons a group, which beats sorting groups for any m of interest.
    """
    m = len(scores)
    beaten = np.zeros(scores.shape, dtype=np.uint8)
    for i in range(m - 1):
        wins = (scores[i] >= scores[i + 1 :]).view(np.uint8)  # equal: the earlier one wins
        beaten[i + 1 :] += wins
        beaten[i] += np.uint8(m - 1 - i) - wins.sum(axis=0, dtype=np.uint8)
    kept: NDArray[np.bool_] = beaten < n
    return kept


def rank(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rank of every pattern.

    Args:
        mask: ``(patterns, m)`` with m <= 64 and the same number n of True in every row.
    """
    ranks = np.empty(len(mask), dtype=np.int64)
    for start in range(0, len(mask), _BLOCK):
        ranks[start : start + _BLOCK] = _rank(mask[start : start + _BLOCK])
    return ranks


def unrank(ranks: NDArray[np.int64], n: int, m: int) -> NDArray[np.bool_]:
    """Return the patterns, ``(patterns, m)``, of these ranks; inverse of :func:`rank`.

    Raises:
        ValueError: a rank is not in ``[0, C(m, n))``.
    """
    if ranks.size and not 0 <= int(ranks.min()) <= int(ranks.max()) < comb(m, n):
        raise ValueError(f"a pattern beyond the {comb(m, n)} of {n} in {m}")
    mask = np.empty((ranks.size, m), dtype=np.bool_)
    for start in range(0, ranks.size, _BLOCK):
        mask[start : start + _BLOCK] = _unrank(ranks[start : start + _BLOCK], n, m)
    return mask


def _rank(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    ranks = np.zeros(len(mask), dtype=np.int64)
    seen = np.zeros(len(mask), dtype=np.uint8)
    for j, here in enumerate(np.ascontiguousarray(mask.T)):
        seen += here
        ranks += np.where(here, _binomials(j, mask.shape[1])[seen], 0)
    return ranks


def _unrank(ranks: NDArray[np.int64], n: int, m: int) -> NDArray[np.bool_]:
    left = np.full(ranks.size, n, dtype=np.uint8)
    rest = ranks.copy()
    mask = np.empty((m, ranks.size), dtype=np.bool_)
    for j in range(m - 1, -1, -1):
        # with i survivors to place among the first j + 1, the i-th is at j from C(j, i) on
        price = _binomials(j, m)[left]
        here = np.greater_equal(rest, price, out=mask[j])
        here &= left > 0
        rest -= np.where(here, price, 0)
        left -= here
    return mask.T


def _binomials(j: int, m: int) -> NDArray[np.int64]:
    """Return C(j, 0), …, C(j, m)."""
    return np.array([comb(j, i) for i in range(m + 1)], dtype=np.int64)

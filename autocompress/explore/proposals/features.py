"""Candidates as vectors that a regression can learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from autocompress.explore.choosers import position

Matrix = NDArray[np.float64]

_ABSENT = 0.5
"""Position of a number that a candidate does not have: the middle, which says nothing."""
_LEAST, _MOST = 1e-4, 1e2
"""Bounds of a guessed change of loss, nats."""
_PLAN, _RECIPE = 0.1, 0.3
"""Length of a whole range, or of a choice's indicator, where a guess says what plans are like: it
says most of it, and the nearer candidates are that it calls alike, the more is learnt from each."""


class Guess(Protocol):
    """What is known of a candidate before any trial; :class:`~autocompress.sensitivity.Sensitivity`
    is one."""

    @property
    def rest_bits(self) -> float:
        """Bits of everything that is in no group."""

    def parts(self, params: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Return the change of loss and the bits of each group by itself."""


class Encoder:
    """Turns parameters into vectors.

    A vector has the position of every number in its range, an indicator of every choice, and, with
    a guess, the logarithms of each group's guessed change of loss and of its bits, and of both for
    all groups together.

    Args:
        domains: What each parameter is chosen from; others are not seen.
        guess: What is known beforehand.
    """

    def __init__(self, domains: Mapping[str, BaseDistribution], guess: Guess | None) -> None:
        self._domains = sorted(domains.items())
        self._guess = guess

    def __call__(self, candidates: Sequence[Mapping[str, Any]]) -> Matrix:
        """Return one row for each candidate, shape (candidates, features)."""
        return np.array([self._row(params) for params in candidates], dtype=np.float64)

    def log_bytes(self, params: Mapping[str, Any]) -> float:
        """Return log10 of the guessed bytes; 0 without a guess."""
        if self._guess is None:
            return 0.0
        bits = sum(b for _, b in self._guess.parts(params).values()) + self._guess.rest_bits
        return math.log10(max(bits, 8.0) / 8)

    def _row(self, params: Mapping[str, Any]) -> list[float]:
        row: list[float] = []
        for name, domain in self._domains:
            unit = self._unit(name)
            if isinstance(domain, CategoricalDistribution):
                chosen = params.get(name, ())
                row += [unit * (chosen == choice) for choice in domain.choices]
            elif isinstance(domain, FloatDistribution | IntDistribution):
                where = position(params[name], domain) if name in params else _ABSENT
                row.append(unit * where)
        if self._guess is not None:
            parts = self._guess.parts(params).values()
            losses, bits = [loss for loss, _ in parts], [b for _, b in parts]
            row += [_log_loss(loss) for loss in (*losses, sum(losses))]
            row += [math.log10(b + 1.0) / 2 for b in (*bits, sum(bits))]
        return row

    def _unit(self, name: str) -> float:
        if self._guess is None:
            return 1.0
        return _RECIPE if name.startswith("recipe.") else _PLAN


def _log_loss(loss: float) -> float:
    """Return the logarithm of a change of loss, about 0 to 1 from nothing to guessing."""
    return math.log10(min(max(loss, _LEAST), _MOST) / _LEAST) / 4

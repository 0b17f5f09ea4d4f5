"""The globally optimal scale of a fixed symmetric grid.

**Problem.** Given weights w with importance h >= 0 and levels 0 <= q_0 < ... < q_L, find s >= 0
that minimises ``Σ h (w - s·q(w/s))²``, q(t) being t's nearest level with t's sign. With u = |w|,
the error of any assignment is least at s = A/B, where A = Σ h u q and B = Σ h q², and is then
``Σ h u² - A²/B``. The nearest levels only change where s = u/m for the midpoint m of two levels,
so the best assignment is one of finitely many: of {-c, 0, c} those that keep the largest u, as in
the scan of sorted cumulative sums of Carreira-Perpiñán & Idelbayev (2017, arXiv:1707.04319).

**Small groups**: all changes are sorted and A and B accumulated along them.

**Large groups**: branch and bound over s. Between s and s' > s the assignment of s serves with an
error that is known, quadratic in the scale, less what changes in between can save: a weight whose
level changes from q_l to q_{l-1} saves at most ``s'·(s' - s)·h·(q_l² - q_{l-1}²)``, all together
``s'·(s' - s)·(B(s) - B(s'))``. That is of second order in the interval's width, so intervals not
near the optimum are dropped early, and the others are cut until nothing is left. Sums come from
sorted weights and prefix sums. Exact to 1e-12 of Σ h u². A single level besides 0 needs no search:
its changes are in order as soon as the weights are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.codebooks.partition import Runs, count_of
from autocompress.compression.codebooks.scalars import CHUNK, Floats, Reals, Sums, sort_weighted
from autocompress.compression.tensors import PLAIN

_SMALL = 1 << 14  # changes of one group that are sorted
_BATCH = 1 << 18  # changes sorted at a time
_PARTS = 8  # pieces that an interval is cut into
_RUN = 1 << 8  # magnitudes whose sum is looked at first
_EXACT = 1e-12


def best_scales(flat: Tensor, h: Tensor | None, levels: tuple[float, ...], runs: Runs) -> Tensor:
    """Return the optimal scale of every group: float64, on the CPU.

    Args:
        flat: The concatenated weights, finite.
        h: Their importance, same shape, or None. Groups of no importance count as equal.
        levels: Magnitudes of the grid, ascending, from 0 or more to the largest.
        runs: The groups.
    """
    q = np.array(levels)
    values = flat.detach().cpu().numpy() if flat.dtype in PLAIN else flat.float().cpu().numpy()
    weights = None
    if h is not None:
        weights = h.cpu().numpy() if h.dtype in PLAIN else h.float().cpu().numpy()
    out, group, start = np.empty(count_of(runs)), 0, 0
    for count, size in runs:
        changes = size * max(len(q) - 1, 1)
        step = 1 if changes > _SMALL else max(_BATCH // changes, 1)
        for first in range(0, count, step):
            many = min(step, count - first)
            some = slice(start + first * size, start + (first + many) * size)
            own = None if weights is None else weights[some].reshape(many, size)
            part = values[some].reshape(many, size)
            found = (
                _search(part[0], None if own is None else own[0], q)
                if (changes > _SMALL)
                else _scan(part, own, q)
            )
            out[group + first : group + first + many] = found
        group, start = group + count, start + count * size
    return torch.from_numpy(out)


def _scan(part: Reals, own: Reals | None, q: Floats) -> Floats:
    """Return the scales of groups (rows) by sorting all changes of their assignments."""
    u = np.abs(part).astype(np.float64)
    largest = u.max(1, keepdims=True)
    u /= np.where(largest > 0.0, largest, 1.0)  # squares neither overflow nor vanish
    h = np.ones_like(u) if own is None else _even(own)
    middle = (q[1:] + q[:-1]) / 2
    first_a, first_b = (h * u).sum(1) * q[0], h.sum(1) * q[0] ** 2
    key = (u[:, :, None] / middle).reshape(len(u), -1)
    order = np.argsort(-key, axis=1, kind="stable")
    da = ((h * u)[:, :, None] * np.diff(q)).reshape(len(u), -1)
    db = (h[:, :, None] * np.diff(q**2)).reshape(len(u), -1)
    a = np.cumsum(np.take_along_axis(da, order, 1), 1) + first_a[:, None]
    b = np.cumsum(np.take_along_axis(db, order, 1), 1) + first_b[:, None]
    a, b = np.append(first_a[:, None], a, 1), np.append(first_b[:, None], b, 1)
    gain = np.divide(a * a, b, out=np.zeros_like(a), where=b > 0.0)
    best = gain.argmax(1)[:, None]
    a, b = np.take_along_axis(a, best, 1), np.take_along_axis(b, best, 1)
    scale: Floats = (np.divide(a, b, out=np.zeros_like(a), where=b > 0.0) * largest)[:, 0]
    return scale


def _even(own: Reals) -> Floats:
    """Return weights that are at most 1 in each group, and all 1 where all were 0."""
    h = own.astype(np.float64)
    largest = h.max(1, keepdims=True)
    h /= np.where(largest > 0.0, largest, 1.0)
    h[largest[:, 0] == 0.0] = 1.0
    return h


def _search(part: Reals, own: Reals | None, q: Floats) -> float:
    """Return the scale of one large group by branch and bound."""
    if own is not None and not own.any():
        own = None
    u = np.abs(part)
    exponent = int(np.frexp(u.max())[1])
    if u.max() == 0.0:
        return 0.0
    if u.dtype == np.float64:
        np.ldexp(u, -exponent, out=u)
    else:
        exponent = 0
    h = own
    if h is None:
        u.sort()
    else:
        if h.dtype == np.float64:
            h = h / h.max()
        u, h = sort_weighted(u, h)
    if len(q) == 2 and q[0] == 0.0:
        return float(np.ldexp(_largest_mean(u, h), exponent) / q[1])
    return float(np.ldexp(_Gains(u, h, q).solve(), exponent))


def _largest_mean(u: Reals, h: Reals | None) -> float:
    """Return the mean of the largest magnitudes, as many as maximise (Σ h u)² / Σ h.

    Within a run of magnitudes, none is above its first: with S = Σ h u and W = Σ h before it, the
    gain is at most ``(S + t·first)² / (W + t)`` for some t from 0 to the run's own Σ h. Falling at
    first and rising after, that is largest at either end. Few runs can hold the maximum.

    Args:
        u: Magnitudes, ascending.
        h: Their importance, or None.
    """
    moments, weights = _runs(u, h)
    moment, weight = np.cumsum(moments), np.cumsum(weights)
    gain, means = _ratio(moment * moment, weight), _ratio(moment, weight)
    best = int(gain.argmax())
    most, mean = gain[best], means[best]
    moment -= moments
    weight -= weights
    end = np.arange(len(u), 0, -_RUN)
    bound = _ratio((moment + weights * u[end - 1]) ** 2, weight + weights)
    for run in np.flatnonzero(bound > most * (1.0 + _EXACT)):
        some = slice(max(end[run] - _RUN, 0), end[run])
        own = np.ones(some.stop - some.start) if h is None else h[some].astype(np.float64)[::-1]
        part = np.cumsum(own * u[some][::-1]) + moment[run]
        own = np.cumsum(own) + weight[run]
        gain = _ratio(part * part, own)
        top = int(gain.argmax())
        if gain[top] > most:
            most, mean = gain[top], part[top] / own[top]
    return float(mean)


def _runs(u: Reals, h: Reals | None) -> tuple[Floats, Floats]:
    """Return Σ h u and Σ h of every so many magnitudes, from the largest on."""
    moments, weights = [], []
    for end in range(len(u), 0, -CHUNK):
        some = slice(max(end - CHUNK, 0), end)
        part = u[some].astype(np.float64)
        short = len(part) % _RUN
        edges = np.arange(short or _RUN, len(part), _RUN)
        edges = np.concatenate([np.zeros(1, np.int64), edges])
        if h is None:
            own = np.diff(edges, append=len(part)).astype(np.float64)
        else:
            each = h[some].astype(np.float64)
            part *= each
            own = np.add.reduceat(each, edges)
        moments.append(np.add.reduceat(part, edges)[::-1])
        weights.append(own[::-1])
    return np.concatenate(moments), np.concatenate(weights)


def _ratio(a: Floats, b: Floats) -> Floats:
    ratio: Floats = np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
    return ratio


class _Gains:
    """A(s) and B(s) of sorted magnitudes, and the search for the best s."""

    def __init__(self, u: Reals, h: Reals | None, q: Floats) -> None:
        self.u, self.q, self.sums = u, q, Sums(u, h)
        self.middle = (q[1:] + q[:-1]) / 2
        total = self.sums(np.array([len(u)]))
        self.weight, self.moment = float(total[0][0]), float(total[1][0])
        self.best, self.scale = 0.0, 0.0

    def at(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        """Return A, B and the number of changes above every s; keep the best."""
        # float32 limits would round to a scalar; the sums are of the ranks, so any rank is valid
        rank = np.searchsorted(self.u, np.outer(s, self.middle).astype(self.u.dtype), "right")
        weight, moment = self.sums(rank)
        a = (self.moment - moment) @ np.diff(self.q) + self.moment * self.q[0]
        b = (self.weight - weight) @ np.diff(self.q**2) + self.weight * self.q[0] ** 2
        gain = np.divide(a * a, b, out=np.zeros_like(a), where=b > 0.0)
        top = int(gain.argmax())
        if gain[top] > self.best:
            self.best, self.scale = float(gain[top]), float(a[top] / b[top])
        return a, b, rank.sum(1)

    def solve(self) -> float:
        """Return the best scale."""
        last = float(self.u[-1]) / float(self.middle[0]) * 1.01
        left = np.append(0.0, last * np.exp2(np.linspace(-20, 0, 320)))
        a, b, rank = self.at(left)
        left, right, b_right = left[:-1], left[1:], b[1:]
        a, b, fixed = a[:-1], b[:-1], rank[1:] == rank[:-1]
        while True:
            scale = np.clip(np.divide(a, b, out=np.zeros_like(a), where=b > 0.0), left, right)
            bound = scale * (2.0 * a - scale * b) + right * (right - left) * (b - b_right)
            live = np.flatnonzero(~fixed & (bound > self.best * (1.0 + _EXACT)))
            if len(live) == 0:
                return self.scale
            step = (right[live] - left[live]) / _PARTS
            inner = left[live, None] + step[:, None] * np.arange(1, _PARTS)
            edges = np.concatenate([left[live, None], inner, right[live, None]], 1)
            if float(step.max()) <= 1e-16 * last:
                return self.scale
            a, b, rank = (v.reshape(edges.shape) for v in self.at(edges.ravel()))
            fixed = (rank[:, 1:] == rank[:, :-1]).ravel()
            b_right = b[:, 1:].ravel()
            left, right, a, b = (
                v.ravel() for v in (edges[:, :-1], edges[:, 1:], a[:, :-1], b[:, :-1])
            )

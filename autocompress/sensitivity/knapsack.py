"""The multiple-choice knapsack: one item of each group, least loss for the bits.

    min  Σ loss(g, i_g)   subject to   Σ bits(g, i_g) <= B

for every budget B at once (Kellerer, Pferschy & Pisinger, "Knapsack Problems", 2004, ch. 11). The
non-dominated solutions of the first groups are all that those of one group more can be made of, so
merging group by group and dropping what is dominated gives the whole frontier, exactly. Where it
has too many points for that, its convex hull is given: the solutions of every Lagrange multiplier,
each the best of its own size, found greedily.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.errors import ConfigError

MOST = 200_000
"""Non-dominated points up to which the exact frontier is kept."""
_CELLS = 1 << 22  # sums made at a time

Reals: TypeAlias = NDArray[np.float64]
Picks: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Items:
    """What one group may choose.

    Attributes:
        bits: Size of each choice, ``(n,)``.
        losses: What each costs, ``(n,)``; items that are not finite are never taken.

    Raises:
        ConfigError: there is no item with finite numbers.
    """

    bits: Reals
    losses: Reals

    def __post_init__(self) -> None:
        for name in ("bits", "losses"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if not (np.isfinite(self.bits) & np.isfinite(self.losses)).any():
            raise ConfigError("knapsack: a group has no choice of finite size and loss")

    def best(self) -> NDArray[np.intp]:
        """Return the items that no other is as good as, by increasing size."""
        finite = np.flatnonzero(np.isfinite(self.bits) & np.isfinite(self.losses))
        return finite[_best(self.bits[finite], self.losses[finite])]


@dataclass(frozen=True, eq=False)
class Frontier:
    """The non-dominated solutions, by increasing size and decreasing loss.

    Attributes:
        bits: Size of each, ``(n,)``.
        losses: What each costs, ``(n,)``.
        picks: Index of the item that each takes of each group, ``(n, groups)``.
        exact: Whether all are there; if not, they are those of every Lagrange multiplier.
    """

    bits: Reals
    losses: Reals
    picks: Picks
    exact: bool = True

    def __len__(self) -> int:
        return len(self.bits)

    def at(self, budget: float) -> int | None:
        """Return the index of the best solution of at most so many bits; None if there is none."""
        found = int(np.searchsorted(self.bits, budget, side="right")) - 1
        return None if found < 0 else found

    def take(self, index: NDArray[np.intp]) -> Frontier:
        """Return some of the solutions."""
        return Frontier(self.bits[index], self.losses[index], self.picks[index], self.exact)


def solve(groups: Sequence[Items], *, most: int = MOST) -> Frontier:
    """Return the frontier of one item of each group.

    Args:
        groups: The groups, at least one.
        most: Points up to which it is exact.

    Raises:
        ConfigError: there is no group.
    """
    if not groups:
        raise ConfigError("knapsack: there is no group to choose for")
    found = _first(groups[0])
    for group in groups[1:]:
        merged = _merge(found, group, most)
        if merged is None:
            return hull(groups)
        found = merged
    return found


def hull(groups: Sequence[Items]) -> Frontier:
    """Return the solutions of every Lagrange multiplier: the frontier's lower convex hull.

    Each group walks along the convex hull of its own items; all steps, in the order of what they
    gain for a bit, lead from the smallest solution to the best one.
    """
    hulls = [_hull(group) for group in groups]
    steps = []
    for g, (items, own) in enumerate(zip(groups, hulls, strict=True)):
        for left, right in itertools.pairwise(own):
            bits = items.bits[right] - items.bits[left]
            gain = items.losses[left] - items.losses[right]
            steps.append((-gain / bits, g, right))
    steps.sort(key=lambda step: step[0])  # stable: a group's own steps stay in order
    current = [own[0] for own in hulls]
    picks = [list(current)]
    for _, g, right in steps:
        current[g] = right
        picks.append(list(current))
    table = np.array(picks, dtype=np.int32)
    bits, losses = _sums(groups, table)
    index = _best(bits, losses)
    return Frontier(bits[index], losses[index], table[index], exact=False)


def _first(group: Items) -> Frontier:
    own = group.best()
    return Frontier(group.bits[own], group.losses[own], own.astype(np.int32)[:, None])


def _merge(before: Frontier, group: Items, most: int) -> Frontier | None:
    """Return the frontier with one group more, or None where it has too many points."""
    own = group.best()
    rows = max(1, _CELLS // len(own))
    kept: tuple[Reals, Reals, NDArray[np.intp], NDArray[np.intp]] | None = None
    for start in range(0, len(before), rows):
        part = slice(start, start + rows)
        bits = (before.bits[part, None] + group.bits[None, own]).ravel()
        losses = (before.losses[part, None] + group.losses[None, own]).ravel()
        count = len(before.bits[part])
        which = np.repeat(np.arange(start, start + count), len(own))
        item = np.tile(own, count)
        if kept is not None:
            bits, losses = np.concatenate([kept[0], bits]), np.concatenate([kept[1], losses])
            which, item = np.concatenate([kept[2], which]), np.concatenate([kept[3], item])
        index = _best(bits, losses)
        kept = bits[index], losses[index], which[index], item[index]
    assert kept is not None
    if len(kept[0]) > most:
        return None
    picks = np.column_stack([before.picks[kept[2]], kept[3].astype(np.int32)])
    return Frontier(kept[0], kept[1], picks)


def _best(bits: Reals, losses: Reals) -> NDArray[np.intp]:
    """Return the indices of non-dominated points by increasing size; of equal ones the first."""
    order = np.lexsort((losses, bits))
    sorted_losses = losses[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(sorted_losses)[:-1]])
    return order[sorted_losses < before]


def _hull(items: Items) -> list[int]:
    """Return the items on the lower convex hull, by increasing size."""
    kept: list[int] = []
    for i in items.best().tolist():
        while len(kept) > 1 and _above(items, kept[-2], kept[-1], i):
            kept.pop()
        kept.append(i)
    return kept


def _above(items: Items, left: int, middle: int, right: int) -> bool:
    """Whether the middle item is on or above the line between the others."""
    bits, losses = items.bits, items.losses
    return bool(
        (losses[middle] - losses[left]) * (bits[right] - bits[left])
        >= (losses[right] - losses[left]) * (bits[middle] - bits[left])
    )


def _sums(groups: Sequence[Items], picks: Picks) -> tuple[Reals, Reals]:
    """Return size and loss of solutions, added up in the order of the groups."""
    bits, losses = np.zeros(len(picks)), np.zeros(len(picks))
    for g, items in enumerate(groups):
        bits = bits + items.bits[picks[:, g]]
        losses = losses + items.losses[picks[:, g]]
    return bits, losses

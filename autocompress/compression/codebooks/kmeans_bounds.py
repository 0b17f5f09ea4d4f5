"""The price of a cluster that bounds the cost of k clusters best, for :mod:`.kmeans_search`.

Explained in :mod:`.optimal_kmeans`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autocompress.compression.codebooks.kmeans_priced import Cells, cheapest
from autocompress.compression.codebooks.scalars import Floats, Ints

_TRIES = 64  # prices tried, at most


@dataclass(frozen=True)
class Bound:
    """The bound of one price: the cost of the clusters that are cheapest with it.

    Attributes:
        price: The price.
        path: The borders of the cheapest clusters.
        cost: What these cost, less their price.
    """

    price: float
    path: Ints
    cost: float

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.path) - 1

    def of(self, k: int) -> float:
        """Return the lower bound of the cost of k clusters."""
        return self.cost + self.price * (self.count - k)


def at_price(cells: Cells, price: float, cuts: Ints) -> tuple[Bound, Floats]:
    """Return the bound of a price, and the least cost up to every border, prices paid."""
    least, start = cheapest(cells, price, cuts)
    border, path = len(start) - 1, [len(start) - 1]
    while border:
        border = int(start[border])
        path.append(border)
    found = np.array(path[::-1])
    return Bound(price, found, float(least[-1]) - price * (len(found) - 1)), least


def best_bound(
    cells: Cells, k: int, price: float, cuts: Ints, upper: float, slack: float
) -> tuple[Bound, Floats, Ints]:
    """Return about the greatest lower bound of the cost of k clusters to be had.

    The least cost is convex in the number of clusters, so with the right price k clusters are
    cheapest, or among the cheapest, and the bound is what they cost.

    Args:
        cells: The cells.
        k: Number of clusters.
        price: The price to try first.
        cuts: As in :func:`cheapest`.
        upper: The cost of a solution.
        slack: The part of the gap to that by which the bound may fall short.

    Returns:
        The bound, the least cost up to every border that it is of, and the borders of k clusters
        that about meet it; of another number where none are found.
    """
    best = fewer = more = None
    for i in range(_TRIES):
        bound, found = at_price(cells, price, cuts)
        if best is None or bound.of(k) > best.of(k):
            best, least = bound, found
        del found  # memory: the next are as many
        if bound.count == k:
            return best, least, bound.path
        if bound.count < k:
            fewer = bound
        else:
            more = bound
        if fewer is None or more is None:
            price *= (bound.count / k) ** (1.5 * 2**i)  # costs fall about with its square
            if not 0.0 < price < np.inf:
                break
            continue
        across = (fewer.cost - more.cost) / (more.count - fewer.count)
        met = fewer.cost + across * (fewer.count - k)  # no bound is greater
        enough = max(slack * (upper - best.of(k)), 1e-14 * met)
        if not more.price < across < fewer.price or met - best.of(k) < enough:
            break
        price = across if i % 2 else _between(fewer, more, k)
    assert best is not None
    if fewer is not None and more is not None:
        return best, least, joined(fewer.path, more.path, k)
    return best, least, best.path


def _between(fewer: Bound, more: Bound, k: int) -> float:
    """Return the price of k clusters if prices are a power of the number."""
    share = np.log(k / fewer.count) / np.log(more.count / fewer.count)
    return float(fewer.price * (more.price / fewer.price) ** share)


def joined(fewer: Ints, more: Ints, k: int) -> Ints:
    """Return k clusters, the first ones from one path and the last ones from another.

    If both are cheapest at one price then so are these (Aggarwal, Schieber & Tokuyama 1994,
    Discrete Comput. Geom. 12, "Finding a minimum-weight k-link path in graphs with the concave
    Monge property").

    Args:
        fewer: The borders of fewer than k clusters.
        more: Those of more.
        k: Number of clusters.
    """
    ahead = k + 1 - len(fewer)
    meet = int((more[ahead : ahead + len(fewer)] <= fewer).argmax())
    return np.concatenate([more[: meet + ahead], fewer[meet:]])

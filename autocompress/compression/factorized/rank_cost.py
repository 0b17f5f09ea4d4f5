"""What a rank costs: numbers to store, or multiply-adds of the two layers it becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from autocompress.compression.base import Facts, Shapes, numel
from autocompress.compression.factorized.factors import matrix_shape
from autocompress.errors import SchemeError

Sites: TypeAlias = tuple[tuple[int, int], ...]
"""For each weight, how often its first factor V and its second factor U are applied to one sample.

A first number of 0 says that two layers cannot take its place (a convolution with groups)."""


@dataclass(frozen=True)
class Cost:
    """Cost of a layer by its rank.

    Attributes:
        dense: Of the layer as it is.
        rank: Of each unit of rank.
    """

    dense: int
    rank: int

    def of(self, rank: int | None) -> int:
        """Return the cost of a rank; None is the layer as it is."""
        return self.dense if rank is None else rank * self.rank

    def most(self, share: float) -> int | None:
        """Return the largest rank that costs at most a share of the layer, at least 1.

        None, the layer as it is, where that costs no more than a rank of 1, and for a share of 1.
        """
        if share >= 1 or self.rank >= self.dense:
            return None
        return max(1, floor(share * self.dense / self.rank))


def floor(value: float) -> int:
    """Round down, up to what rounding took off a product that is a whole number."""
    return math.floor(value * (1 + 1e-12))


def storage_costs(shapes: Shapes, conv: str) -> list[Cost]:
    """Return the numbers that weights of these shapes take: ``r (m + n)`` against ``m n``."""
    return [Cost(numel(shape), sum(matrix_shape(shape, conv))) for shape in shapes]


def flop_costs(shapes: Shapes, conv: str, sites: Sites) -> list[Cost]:
    """Return the multiply-adds that weights of these shapes take for one sample.

    Args:
        shapes: The weights' shapes.
        conv: How convolutions are reshaped.
        sites: What :func:`find_sites` found; empty where no model is known, which is enough for
            linear layers.

    Raises:
        SchemeError: a convolution, and no model is known.
    """
    if not sites and any(len(shape) > 2 for shape in shapes):
        raise SchemeError(
            "how many FLOPs a convolution takes depends on the size of its input: the scheme must "
            "be bound to a model (compress() and Plan.resolve(model, example) do that)"
        )
    costs = []
    for shape, (first, second) in zip(shapes, sites or [(1, 1)] * len(shapes), strict=True):
        rows, columns = matrix_shape(shape, conv)
        dense = numel(shape) * second
        costs.append(Cost(dense, columns * first + rows * second if first else dense))
    return costs


def rank_costs(shapes: Shapes, conv: str, sites: Sites, *, flops: bool) -> list[Cost]:
    """Return what :func:`flop_costs` does, or :func:`storage_costs`."""
    return flop_costs(shapes, conv, sites) if flops else storage_costs(shapes, conv)


def can_tell(shapes: Shapes, sites: Sites, *, flops: bool) -> bool:
    """Whether :func:`rank_costs` are known: of matrices, and of convolutions' FLOPs if bound."""
    if any(len(shape) < 2 for shape in shapes):
        return False
    return not flops or bool(sites) or all(len(shape) == 2 for shape in shapes)


def find_sites(facts: Sequence[Facts], conv: str) -> Sites:
    """Read off how often the factors of each weight are applied.

    Of the two convolutions of the spatial form the first, kh×1, takes the stride and padding of
    the height: its output is as high as the layer's output and as wide as its input.
    """
    sites = []
    for fact in facts:
        second = math.prod(fact.outputs)
        spatial = conv == "spatial" and len(fact.inputs) == len(fact.outputs) == 2
        first = fact.outputs[0] * fact.inputs[1] if spatial else second
        sites.append((0 if fact.groups > 1 else first, second))
    return tuple(sites)

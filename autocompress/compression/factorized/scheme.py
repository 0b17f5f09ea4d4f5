"""What schemes of low rank have in common: reshaping, norms, and what a rank costs in a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from autocompress.compression.base import (
    Compression,
    Facts,
    Shapes,
    Tensors,
    refuse,
    require_finite,
    shapes_of,
)
from autocompress.compression.factorized.factors import check_matrices, matrix_shape, to_matrix
from autocompress.compression.factorized.rank_cost import (
    Cost,
    Sites,
    can_tell,
    find_sites,
    rank_costs,
)
from autocompress.compression.weighting import Covariance, Weighting
from autocompress.errors import SchemeError


class Factorization(Compression):
    """A scheme that replaces each weight by two factors; its dataclass declares the fields."""

    conv: str
    sites: Sites

    @property
    @abstractmethod
    def counts_flops(self) -> bool:
        """Whether ranks are chosen by multiply-adds, which the size of the inputs decides."""

    @property
    def weightings(self) -> frozenset[str]:  # type: ignore[override]  # a constant of most schemes
        """The covariance of the inputs, which says nothing of the spatial reshaping."""
        return frozenset({"covariance"} if self.conv == "channel" else ())

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]  # as above
        """The size of the inputs, where FLOPs count."""
        return frozenset({"spatial"} if self.counts_flops else ())

    def bind(self, facts: Sequence[Facts]) -> Compression:
        return self._at(find_sites(facts, self.conv)) if self.counts_flops else self

    def unbound(self) -> Compression:
        return self._at(())

    def _at(self, sites: Sites) -> Compression:
        return replace(self, sites=sites)  # type: ignore[type-var]  # concrete ones are dataclasses

    def check(self, shapes: Shapes) -> None:
        check_matrices(shapes, self.conv)

    def costs(self, shapes: Shapes) -> list[Cost]:
        """Return what a rank costs in each layer.

        Raises:
            SchemeError: FLOPs of a convolution, and no model is known.
        """
        return rank_costs(shapes, self.conv, self.sites, flops=self.counts_flops)

    def knows_costs(self, shapes: Shapes) -> bool:
        """Whether :meth:`costs` can be told now."""
        return can_tell(shapes, self.sites, flops=self.counts_flops)


def check_share(key: str, value: float | None) -> None:
    """Raise SchemeError unless a share is None or a number in (0, 1]."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value <= 1):
        raise SchemeError(f"{key} = {value!r} is not in (0, 1]")


def least_ranks(shapes: Shapes, conv: str) -> tuple[int | None, ...]:
    """Return rank 1 for each layer that it is not the full rank of."""
    return tuple(1 if min(matrix_shape(shape, conv)) > 1 else None for shape in shapes)


def matrices(
    weights: Tensors, conv: str, weighting: Weighting | None
) -> Iterator[tuple[Tensor, Tensor | None, bool]]:
    """Yield the matrix of each weight, the covariance of its inputs, and whether it is definite.

    A covariance of None is the identity.

    Raises:
        SchemeError: weights that are not finite, or a norm without a solution.
    """
    covariances: tuple[Tensor | None, ...] = (None,) * len(weights)
    definite: tuple[bool, ...] = (True,) * len(weights)
    if isinstance(weighting, Covariance):
        if conv == "spatial" and any(weight.dim() == 4 for weight in weights):
            raise SchemeError(
                "the spatial reshaping has no C step under a covariance, which is that of whole "
                "patches of the input: use conv = 'channel'"
            )
        weighting.check(shapes_of(weights))
        covariances, definite = weighting.matrices, weighting.definite
    else:
        refuse("low rank", weighting)
    for weight, covariance, regular in zip(weights, covariances, definite, strict=True):
        require_finite(weight.detach())
        yield to_matrix(weight.detach(), conv), covariance, regular

"""Low-rank factorization of linear and convolutional layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

from torch import Tensor

from autocompress.compression.base import Code, Compression, Shapes, Tensors, shapes_of, total_numel
from autocompress.compression.dense import Dense
from autocompress.compression.estimate import Estimate, Known, dense
from autocompress.compression.factorized.factors import (
    LowRankCode,
    Pair,
    check_conv,
    factor_shapes,
    full_rank,
    make_code,
)
from autocompress.compression.factorized.rank_cost import Sites
from autocompress.compression.factorized.scheme import (
    Factorization,
    check_share,
    least_ranks,
    matrices,
)
from autocompress.compression.factorized.svd import decompose, tails
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError

SHARES = ("rank_fraction", "energy", "parameters", "flops")


@final
@dataclass(frozen=True)
class LowRank(Factorization):
    """Replace each weight matrix by its best approximation of a given rank.

    Solves ``min ‖W − UV‖²_F s.t. rank ≤ r`` by the truncated singular value decomposition, which
    is optimal (Eckart & Young 1936); each factor takes the square root of the singular values.
    Every tensor of a task is factorized by itself, at a rank given by exactly one of the first five
    arguments. A layer whose full rank that reaches, or that no rank makes smaller, is kept dense.

    Under an input covariance C it solves ``min tr((W − UV) C (W − UV)ᵀ)`` (SVD-LLM, Wang et al.
    2024, arXiv:2403.07378), and among its solutions takes the one of least norm; ``energy`` is then
    that of the layer's outputs.

    Args:
        rank: The rank r >= 1.
        conv: How a convolution becomes a matrix: ``"channel"`` or ``"spatial"``, see
            :func:`.factors.matrix_shape`. The covariance of a layer's
            inputs has no spatial form.
        rank_fraction: r as a fraction of each layer's own full rank, in (0, 1]; rounded, at
            least 1.
        energy: Smallest r with ``Σ_{i≤r} σᵢ² ≥ energy · Σ σᵢ²``, in (0, 1]. Depends on the weights,
            so that ranks may differ from step to step of the L-C run.
        parameters: Largest r whose factors hold at most this share of the layer's weights, in
            (0, 1]; at least 1.
        flops: The same for the multiply-adds of the two layers that take the layer's place. Needs
            to know the model where there are convolutions, see :meth:`bind`.
        sites: Filled in by :meth:`bind`.
    """

    name: ClassVar[str] = "low-rank"
    ranges: ClassVar[Mapping[str, Any]] = {"rank_fraction": {"low": 0.05, "high": 0.5, "log": True}}
    rank: int | None = None
    conv: str = "channel"
    rank_fraction: float | None = None
    energy: float | None = None
    parameters: float | None = None
    flops: float | None = None
    sites: Sites = field(default=(), repr=False)

    def __post_init__(self) -> None:
        given = [key for key in ("rank", *SHARES) if getattr(self, key) is not None]
        if len(given) != 1:
            raise SchemeError(
                f"low-rank takes exactly one of rank, {', '.join(SHARES)}, not "
                f"{' and '.join(given) or 'none of them'}"
            )
        rank = self.rank
        if given == ["rank"] and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise SchemeError(f"rank = {rank!r} is not an integer >= 1")
        for key in SHARES:
            check_share(key, getattr(self, key))
        check_conv(self.conv)

    @property
    def smooth(self) -> bool:  # type: ignore[override]  # a class constant of most schemes
        """Whether the ranks do not depend on the weights."""
        return self.energy is None

    @property
    def counts_flops(self) -> bool:
        return self.flops is not None

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LowRankCode:
        del mu, previous  # the optimum is found from scratch
        shapes = shapes_of(weights)
        self.check(shapes)
        ranks = None if self.energy is not None else self._ranks(shapes)
        pairs: list[Pair | None] = []
        each = enumerate(matrices(weights, self.conv, weighting))
        for position, (matrix, covariance, definite) in each:
            rank = None if ranks is None else ranks[position]
            if ranks is None:
                found = decompose(matrix, covariance, definite=definite)
                rank = self._by_energy(found.squares)
            elif rank is not None:
                found = decompose(matrix, covariance, rank, definite=definite)
            pairs.append(None if rank is None else found.truncated(rank))
        return make_code(weights, pairs, self.conv)

    def _by_energy(self, squares: Tensor) -> int | None:
        assert self.energy is not None
        left = tails(squares)
        # a rank is enough where what it leaves is at most the rest
        enough = left <= (1 - self.energy) * float(left[0])
        rank = max(1, int(enough.nonzero()[0]))
        return rank if rank < squares.numel() else None

    def _ranks(self, shapes: Shapes) -> tuple[int | None, ...]:
        """Return the rank of each layer, None for dense, where the weights have no say in it."""
        if self.rank is not None or self.rank_fraction is not None:
            whole = [(self._wanted(shape), full_rank(shape, self.conv)) for shape in shapes]
            return tuple(rank if rank < full else None for rank, full in whole)
        share = self.parameters if self.flops is None else self.flops
        assert share is not None
        ranks = [cost.most(share) for cost in self.costs(shapes)]
        full = [full_rank(shape, self.conv) for shape in shapes]
        return tuple(
            r if r is not None and r < f else None for r, f in zip(ranks, full, strict=True)
        )

    def _wanted(self, shape: tuple[int, ...]) -> int:
        if self.rank is not None:
            return self.rank
        assert self.rank_fraction is not None
        return max(1, round(self.rank_fraction * full_rank(shape, self.conv)))

    def known_ranks(self, shapes: Shapes) -> tuple[int | None, ...] | None:
        """Return the ranks if they can be told now."""
        known = self.knows_costs(shapes) and self.energy is None
        return self._ranks(shapes) if known else None

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return factor_shapes(
            shapes, self.known_ranks(shapes) or least_ranks(shapes, self.conv), self.conv
        )

    def estimate(self, shapes: Shapes) -> Estimate | None:
        ranks = self.known_ranks(shapes)
        if ranks is None:
            return None
        meta = {"shapes": shapes, "conv": self.conv}
        kept = [position for position, rank in enumerate(ranks) if rank is None]
        inner = dense(factor_shapes(shapes, ranks, self.conv))
        nonzeros = Known.exactly(total_numel(shapes))
        return Estimate(
            "lowrank", meta | ({"dense": kept} if kept else {}), (), {"inner": inner}, nonzeros
        )

    def fitted(self, shapes: Shapes) -> Compression:
        ranks = set(self.known_ranks(shapes) or ())
        rank = ranks.pop() if len(ranks) == 1 else None
        return self if rank is None else LowRank(rank, self.conv)

    def canonical(self, shapes: Shapes) -> Compression:
        # without a 2-D convolution both reshapings are the same
        conv = self.conv if any(len(shape) == 4 for shape in shapes) else "channel"
        ranks = self.known_ranks(shapes)
        if ranks is None:
            return Dense() if self.flops == 1 else replace(self, conv=conv)
        if all(rank is None for rank in ranks):
            return Dense()
        simplest = LowRank(max(rank for rank in ranks if rank is not None), conv)
        return simplest if simplest._ranks(shapes) == ranks else replace(self, conv=conv)

    def remark(self, shapes: Shapes) -> str:
        if self.rank is None and self.rank_fraction is None:
            return ""
        return "; ".join(
            f"rank {self._wanted(shape)} is not below the full rank "
            f"{full_rank(shape, self.conv)} of tensor {position} of shape {shape}: kept dense"
            for position, shape in enumerate(shapes)
            if self._wanted(shape) >= full_rank(shape, self.conv)
        )

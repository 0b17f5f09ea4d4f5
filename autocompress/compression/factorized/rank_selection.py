"""Learning the rank of each layer: a penalty on what the rank costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from autocompress.compression.base import Code, Compression, Shapes, Tensors, shapes_of
from autocompress.compression.factorized.factors import (
    LowRankCode,
    Pair,
    check_conv,
    factor_shapes,
    full_rank,
    make_code,
)
from autocompress.compression.factorized.rank_cost import Cost, Sites
from autocompress.compression.factorized.scheme import Factorization, matrices
from autocompress.compression.factorized.svd import decompose, tails
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError, unknown

COSTS = ("storage", "flops")


@final
@dataclass(frozen=True)
class RankSelection(Factorization):
    """Choose the rank of each layer by what it costs.

    Solves ``min Σ α cost(r) + mu/2 ‖W − UV‖²_F`` over factors and ranks exactly (Idelbayev &
    Carreira-Perpiñán, CVPR 2020, eq. 5): the error of rank r is the tail ``Σ_{i>r} σᵢ²``, so that
    each r = 0 … R is tried. The layer as it is takes part with a cost of its own and no error; of
    equally good ranks the smallest is taken. A rank of 0 is a layer of zeros: it comes where α is
    too large for the mu at hand. As mu grows during an L-C run, so do the ranks.

    Args:
        alpha: α > 0, in units of the loss for each number stored or multiply-add. The paper's λ
            counts in millions: α = λ · 10⁻⁶.
        cost: ``"storage"``: ``r (m + n)`` numbers against ``m n``. ``"flops"``: the multiply-adds
            of one sample in the two layers, against those of the one. Needs to know the model where
            there are convolutions, see :meth:`bind`.
        conv: How a convolution becomes a matrix, see
            :class:`.lowrank.LowRank`.
        least: Smallest rank, 0 or more: 1 keeps every layer alive.
        sites: Filled in by :meth:`bind`.
    """

    name: ClassVar[str] = "rank-selection"
    penalized: ClassVar[bool] = True
    ranges: ClassVar[Mapping[str, Any]] = {"alpha": {"low": 1e-7, "high": 1e-4, "log": True}}
    alpha: float
    cost: str = "storage"
    conv: str = "channel"
    least: int = 0
    sites: Sites = field(default=(), repr=False)

    def __post_init__(self) -> None:
        number = isinstance(self.alpha, (int, float)) and not isinstance(self.alpha, bool)
        if not number or not 0 < self.alpha < float("inf"):
            raise SchemeError(f"alpha = {self.alpha!r} is not a number > 0")
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 0:
            raise SchemeError(f"least = {self.least!r} is not an integer >= 0")
        if self.cost not in COSTS:
            raise unknown("cost", self.cost, COSTS)
        check_conv(self.conv)

    @property
    def counts_flops(self) -> bool:
        return self.cost == "flops"

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LowRankCode:
        del previous  # the optimum is found from scratch
        shapes = shapes_of(weights)
        self.check(shapes)
        pairs: list[Pair | None] = []
        costs = self.costs(shapes)
        for (matrix, covariance, definite), cost in zip(
            matrices(weights, self.conv, weighting), costs, strict=True
        ):
            found = decompose(matrix, covariance, definite=definite)
            rank = self._best(tails(found.squares), cost, mu)
            pairs.append(None if rank is None else found.truncated(rank))
        return make_code(weights, pairs, self.conv)

    def _best(self, left: Tensor, cost: Cost, mu: float) -> int | None:
        """Return the best rank given the error of each; None is the layer as it is."""
        ranks = torch.arange(left.numel(), dtype=left.dtype)  # integers would give float32 prices
        values = self.alpha * cost.rank * ranks + mu / 2 * left
        least = min(self.least, left.numel() - 1)
        best = least + int(values[least:].argmin())
        dense, value = self.alpha * cost.dense, float(values[best])
        return None if dense < value or (dense == value and cost.dense <= cost.of(best)) else best

    def penalty(self, code: Code) -> float:
        assert isinstance(code, LowRankCode)
        costs = self.costs(code.shapes)
        return self.alpha * sum(c.of(r) for c, r in zip(costs, code.ranks(), strict=True))

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return factor_shapes(
            shapes, [min(self.least, full_rank(s, self.conv)) for s in shapes], self.conv
        )

    def canonical(self, shapes: Shapes) -> Compression:
        # without a 2-D convolution both reshapings are the same
        return self if any(len(s) == 4 for s in shapes) else replace(self, conv="channel")

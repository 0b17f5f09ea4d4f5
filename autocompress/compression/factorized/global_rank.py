"""Ranks of several layers under one budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
from torch import Tensor

from autocompress.compression.base import Code, Compression, Shapes, Tensors, shapes_of
from autocompress.compression.dense import Dense
from autocompress.compression.factorized.allocation import Costs, Values, allocate
from autocompress.compression.factorized.factors import (
    LowRankCode,
    check_conv,
    factor_shapes,
    make_code,
)
from autocompress.compression.factorized.rank_cost import Cost, Sites, floor
from autocompress.compression.factorized.scheme import (
    Factorization,
    check_share,
    least_ranks,
    matrices,
)
from autocompress.compression.factorized.svd import decompose, tails
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError, unknown

COSTS = ("parameters", "flops")
ENERGIES = ("absolute", "relative")


@final
@dataclass(frozen=True)
class GlobalRank(Factorization):
    """Give the layers of a task the ranks that keep most energy within one budget.

    Maximises ``Σ kept energy`` over the ranks r >= 1 of all layers, any of which may also stay as
    it is, subject to ``Σ cost ≤ budget · Σ cost of the layers as they are``. Solved exactly, as an
    integer program (:mod:`.allocation`), anew in every C step: layers may
    trade ranks during an L-C run.

    With absolute energies this is the C step ``min ‖w − Δ‖² s.t. the budget``. Relative ones give
    each layer the same say whatever the size of its weights.

    Args:
        budget: Share of the uncompressed cost, in (0, 1].
        cost: ``"parameters"``: ``r (m + n)`` numbers against ``m n``. ``"flops"``: multiply-adds of
            one sample in the two layers, against those of the one. Needs to know the model where
            there are convolutions, see :meth:`bind`.
        energy: ``"absolute"``: ``Σ_{i≤r} σᵢ²``; ``"relative"``: that divided by the layer's own
            ``Σ σᵢ²``.
        conv: How a convolution becomes a matrix, see
            :class:`.lowrank.LowRank`.
        sites: Filled in by :meth:`bind`.
    """

    name: ClassVar[str] = "global-rank"
    ranges: ClassVar[Mapping[str, Any]] = {"budget": {"low": 0.1, "high": 1.0, "log": True}}
    budget: float
    cost: str = "parameters"
    energy: str = "absolute"
    conv: str = "channel"
    sites: Sites = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.budget is None:
            raise SchemeError("budget = None is not in (0, 1]")
        check_share("budget", self.budget)
        if self.cost not in COSTS:
            raise unknown("cost", self.cost, COSTS)
        if self.energy not in ENERGIES:
            raise unknown("energy", self.energy, ENERGIES)
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
        del mu, previous  # the optimum is found from scratch
        shapes = shapes_of(weights)
        self.check(shapes)
        costs = self.costs(shapes)
        found = [
            decompose(matrix, covariance, definite=definite)
            for matrix, covariance, definite in matrices(weights, self.conv, weighting)
        ]
        options = [self._options(f.squares, c) for f, c in zip(found, costs, strict=True)]
        chosen = allocate([o[0] for o in options], [o[1] for o in options], self._limit(costs))
        pairs = [
            # the last option is the layer as it is
            None if choice == len(values) - 1 else f.truncated(choice + 1)
            for f, (values, _), choice in zip(found, options, chosen, strict=True)
        ]
        return make_code(weights, pairs, self.conv)

    def _options(self, squares: Tensor, cost: Cost) -> tuple[Values, Costs]:
        """Return kept energy and cost of each rank from 1 that saves anything, then of dense."""
        left = tails(squares).numpy()
        most = min(len(left) - 2, (cost.dense - 1) // max(cost.rank, 1))
        kept = left[0] - left[[*range(1, most + 1), -1]]
        if self.energy == "relative" and left[0] > 0:
            kept = kept / left[0]
        taken = [*(rank * cost.rank for rank in range(1, most + 1)), cost.dense]
        return kept, np.array(taken, dtype=np.int64)

    def _limit(self, costs: Sequence[Cost]) -> int:
        return floor(self.budget * sum(cost.dense for cost in costs))

    def _known_costs(self, shapes: Shapes) -> list[Cost] | None:
        """Return the costs if they can be told now."""
        return self.costs(shapes) if self.knows_costs(shapes) else None

    def _least(self, shapes: Shapes, costs: Sequence[Cost]) -> int:
        ranks = least_ranks(shapes, self.conv)
        return sum(min(c.of(r), c.dense) for c, r in zip(costs, ranks, strict=True))

    def check(self, shapes: Shapes) -> None:
        super().check(shapes)
        costs = self._known_costs(shapes)
        if costs is None:
            return
        limit, least = self._limit(costs), self._least(shapes, costs)
        if least > limit:
            share = math.ceil(1e4 * least / sum(cost.dense for cost in costs)) / 1e4
            raise SchemeError(
                f"budget = {self.budget:g} of the {self.cost} is not enough for a rank of 1 in "
                f"every layer: accepted is {share:g} to 1"
            )

    def fitted(self, shapes: Shapes) -> Compression:
        costs = self._known_costs(shapes)
        if not costs:
            return self
        share = self._least(shapes, costs) / sum(cost.dense for cost in costs)
        return replace(self, budget=max(self.budget, min(1.0, share)))

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return factor_shapes(shapes, least_ranks(shapes, self.conv), self.conv)

    def canonical(self, shapes: Shapes) -> Compression:
        if self.budget >= 1:
            return Dense()
        # without a 2-D convolution both reshapings are the same
        return self if any(len(s) == 4 for s in shapes) else replace(self, conv="channel")

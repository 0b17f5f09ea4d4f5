"""Structured pruning: whole neurons and filters with their biases, or whole input channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    Facts,
    Shapes,
    Tensors,
    require_finite,
    shapes_of,
    total_numel,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.estimate import Estimate, Known, dense, held, integers
from autocompress.compression.pruning.prune import check_density
from autocompress.compression.structured import budget, grouping, inputs, outputs
from autocompress.compression.structured.channels import layout
from autocompress.compression.structured.inputs import input_layout
from autocompress.compression.structured.rows import (
    OUTSIDE,
    Row,
    Ties,
    check_ties,
    find_rows,
    find_ties,
    narrowed,
    survivors_of,
)
from autocompress.compression.structured.structure_code import (
    StructureCode,
    gathered,
    leaders,
)
from autocompress.compression.weighting import Weighting, diagonals
from autocompress.errors import SchemeError

__all__ = ["StructureCode", "StructurePrune", "leaders"]


@final
@dataclass(frozen=True)
class StructurePrune(Compression):
    """Keep the neurons (linear) and filters (convolution) of largest norm, jointly over a task.

    A group is one output channel: its slice of the weight and of every vector tied to it (bias,
    batch-norm scale and shift), so that a pruned channel outputs exactly zero and can be removed.
    Solves ``min ‖w − θ‖² s.t. at most κ groups are nonzero, at least one in each layer``, with
    ``κ = round(density · groups)``, exactly: the largest squared norms survive, one threshold for
    all layers (structure pruning of Joseph et al., arXiv:1911.02497); under a diagonal weighting
    the largest ``Σ h w²``. Ties go to the earlier group.

    Channels that the model adds or multiplies to each other index by index (residual additions,
    depthwise convolutions) can only be removed together. When the plan meets the model, those of
    the task's layers become one group, that counts once and survives or vanishes as a whole.

    Args:
        density: Fraction of groups that survive, in (0, 1].
        groups: ``"outputs"``, or ``"inputs"``: the input channels of each weight (columns of a
            matrix); vectors have none, and channels are not tied.
        norm: How a group's weights make its score: ``"l2"``, for which the projection is exact, or
            ``"l1"``, ``"max"``, ``"mean"`` (sum, largest and mean magnitude, of ``√h w`` under a
            weighting), for which the survivors have the largest total score instead.
        scope: ``"joint"``, one threshold for the whole task, or ``"layer"``: each layer (layers
            tied to each other are one) keeps its best ``round(density · channels)``.
        align: Each layer keeps a multiple of it, or all its channels. Jointly, the total score is
            the largest possible with at most κ groups in all, at least one multiple a layer; by
            layer, the count is rounded down.
        biases: Whether vectors are scored and pruned with their channel. False leaves them whole:
            a pruned channel then outputs a constant, and is removed only where that is zero.
        ties: Filled in from the model: positions in the task of weights tied to each other, or
            position, start and stop for some of the channels; -1 where something outside the task
            is tied to them too.
        joined: Filled in from the model: positions of the vectors of batch norms over several
            layers' channels.
    """

    name: ClassVar[str] = "structure-prune"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"density": {"low": 0.2, "high": 1.0}}
    density: float
    groups: str = "outputs"
    norm: str = "l2"
    scope: str = "joint"
    align: int = 1
    biases: bool = True
    ties: Ties = field(default=(), repr=False)
    joined: tuple[int, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_density(self.density)
        grouping.check_choice("groups", self.groups, ("outputs", "inputs"))
        grouping.check_choice("norm", self.norm, grouping.NORMS)
        grouping.check_choice("scope", self.scope, grouping.SCOPES)
        grouping.check_count("align", self.align)
        if not isinstance(self.biases, bool):
            raise SchemeError(f"biases = {self.biases!r}: accepted is true or false")
        check_ties(self.ties)

    @property
    def structured(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether it prunes output channels."""
        return self.groups == "outputs"

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]  # as above
        """Ties, which are of output channels, and norms, whose vectors are pruned with these."""
        if not self.structured:
            return frozenset()
        return frozenset({"tie", "norms"} if self.biases else {"tie"})

    @property
    def partial(self) -> bool:
        """Whether some channels of a tensor follow one layer, others another or none."""
        return bool(self.joined) or any(
            isinstance(member, tuple) for tie in self.ties for member in tie
        )

    @property
    def _axis(self) -> int:
        return 0 if self.structured else 1

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> StructureCode:
        del mu, previous
        shapes, norms = shapes_of(weights), diagonals(self.name, weighting, weights)
        at_once = self._at_once(weights, shapes) if norms is None else None
        if at_once is not None:
            return at_once
        rows = self._rows(shapes)
        kept = self._select(weights, norms, rows)
        survivors = survivors_of(shapes, rows, self._axis, kept, self.joined)
        leading = tuple(survivors[position] for position in sorted(survivors))
        flat, cut = gathered(weights, shapes, leading, self._axis, self.biases, self.joined)
        inner = DenseCode(flat, cut, flat.dtype)
        return StructureCode(leading, inner, shapes, self._axis, self.biases, self.joined)

    def _at_once(self, weights: Tensors, shapes: Shapes) -> StructureCode | None:
        """Return the answer where it is easily had; see :mod:`.outputs` and :mod:`.inputs`."""
        exact = self.scope == "joint" and self.align == 1 and self.norm == "l2"
        if not exact or not weights or self.partial:
            return None
        if not self.structured:
            count = budget.contested(input_layout(shapes).sizes, self.density)
            return inputs.prune(weights, shapes, count, self.biases) if count else None
        places = layout(shapes, self.ties, self.biases)
        count = budget.contested(places.sizes, self.density)
        return outputs.prune(weights, shapes, places, count, self.biases) if count else None

    def _select(
        self, weights: Tensors, norms: Tensors | None, rows: Sequence[Row]
    ) -> tuple[Tensor, ...]:
        """Return the survivors of each row."""
        for position in self.joined:
            require_finite(weights[position].detach())  # some of its channels may be in no row
        scores = [self._scores(weights, norms, row) for row in rows]
        return budget.select(scores, self.density, joint=self.scope == "joint", align=self.align)

    def _scores(self, weights: Tensors, norms: Tensors | None, row: Row) -> Tensor:
        """Return the score of every group of a row of tied layers."""
        total: Tensor | None = None
        for position, start in zip(row.members, row.starts, strict=True):
            weight, norm = (
                None if tensors is None else tensors[position].narrow(self._axis, start, row.size)
                for tensors in (weights, norms)
            )
            assert weight is not None
            scores = grouping.channel_scores(weight, self._axis, self.norm, norm)
            if total is not None:
                scores = torch.maximum(total, scores) if self.norm == "max" else total + scores
            total = scores
        for position in row.whole:
            require_finite(weights[position].detach())
        assert total is not None
        return total / row.cost if self.norm == "mean" else total

    def _rows(self, shapes: Shapes) -> tuple[Row, ...]:
        return find_rows(shapes, self.ties, self._axis, self.biases, self.joined)

    def check(self, shapes: Shapes) -> None:
        for row in self._rows(shapes):
            if row.size < 1:
                raise SchemeError(f"structure-prune: tensor {row.leaders[0]} has no channels")

    def bind(self, facts: Sequence[Facts]) -> Compression:
        if not self.structured:
            return self
        joined = tuple(position for position, fact in enumerate(facts) if fact.joint)
        return replace(self, ties=find_ties(facts), joined=joined)

    def unbound(self) -> Compression:
        return replace(self, ties=(), joined=())

    def remark(self, shapes: Shapes) -> str:
        remarks = []
        outside = [m for tie in self.ties if OUTSIDE in tie for m in tie if m != OUTSIDE]
        if outside:
            positions = dict.fromkeys(m[0] if isinstance(m, tuple) else m for m in outside)
            tensors = ", ".join(f"tensor {position}" for position in positions)
            remarks.append(
                f"channels of {tensors} are added to ones outside the task, or to ones of other "
                f"numbers: pruned, but removed only where those are zero too"
            )
        if not self.biases and any(len(shape) == 1 for shape in shapes):
            remarks.append("biases stay: a pruned channel outputs a constant and is not removed")
        return "; ".join(remarks)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        rows = self._rows(shapes)
        sizes, costs = [row.size for row in rows], [row.cost for row in rows]
        joint = self.scope == "joint"
        counts = budget.least_counts(sizes, costs, self.density, joint=joint, align=self.align)
        return narrowed(shapes, rows, self._axis, counts)

    def survivors(self, shapes: Shapes) -> list[tuple[tuple[int, ...], Known]]:
        """Return the positions of each row's weights, and how many of their channels survive."""
        rows, joint = self._rows(shapes), self.scope == "joint"
        sizes = [row.size for row in rows]
        counts = budget.count_bounds(sizes, self.density, joint=joint, align=self.align)
        return [(row.leaders, Known(*count)) for row, count in zip(rows, counts, strict=True)]

    def estimate(self, shapes: Shapes) -> Estimate:
        rows = self._rows(shapes)
        counts = [count for _, count in self.survivors(shapes)]
        axis = self._axis
        kept = narrowed(shapes, rows, axis, [round(count.value) for count in counts])
        whole = total_numel(shapes) - sum(row.size * row.cost for row in rows)
        number = self._numbers(rows, counts)
        meta: dict[str, Any] = {"shapes": shapes}
        meta |= {"axis": axis} if axis else {}
        meta |= {} if self.biases else {"biases": False}
        meta |= {"joined": list(self.joined)} if self.joined else {}
        owners = (p for p, shape in enumerate(shapes) if len(shape) > 1 or p in self.joined)
        channels = sum(shapes[owner][axis] for owner in owners)
        inner = dense(kept, count=Known.exactly(whole) + number)
        return held("structure", meta, [integers("kept", channels)], inner)

    def _numbers(self, rows: Sequence[Row], counts: Sequence[Known]) -> Known:
        """Return how many numbers of the channels survive."""
        sizes, costs = [row.size for row in rows], [row.cost for row in rows]
        value = sum(count.value * cost for count, cost in zip(counts, costs, strict=True))
        joint = self.scope == "joint"
        low = budget.least_counts(sizes, costs, self.density, joint=joint, align=self.align)
        high = [int(count.high) for count in counts]
        if any(count.low < count.high for count in counts):
            dear = [-cost for cost in costs]  # the most there can be, had counts not to be aligned
            high = budget.least_counts(sizes, dear, self.density, joint=joint, align=1)
        bounds = [sum(n * c for n, c in zip(part, costs, strict=True)) for part in (low, high)]
        return Known(value, *bounds)

    def canonical(self, shapes: Shapes) -> Compression:
        rows = self._rows(shapes)
        sizes = [row.size for row in rows]
        joint = self.scope == "joint"
        counts = budget.fixed_counts(sizes, self.density, joint=joint, align=self.align)
        if counts == sizes:
            return Dense()
        # the mean orders groups as the sum does where those that compete have equally many weights
        alike = not joint or len(rows) == 1
        return replace(
            self,
            norm="l1" if self.norm == "mean" and alike else self.norm,
            scope="joint" if len(rows) == 1 else self.scope,
            biases=self.biases or all(len(shape) > 1 for shape in shapes),
        )

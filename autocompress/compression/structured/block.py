"""Block pruning: n-dimensional blocks of weights survive or vanish whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    Shapes,
    Tensors,
    joined,
    numel,
    shapes_of,
    unflatten,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.estimate import Estimate, Known, added, dense, held, positions
from autocompress.compression.pruning.prune import check_density
from autocompress.compression.selection import under
from autocompress.compression.structured import budget, grouping
from autocompress.compression.structured.block_code import (
    Block,
    BlockCode,
    gather,
    grid,
    mask_of,
    sizes_of,
)
from autocompress.compression.weighting import Weighting, diagonal
from autocompress.errors import SchemeError

__all__ = ["BlockCode", "BlockPrune"]


@final
@dataclass(frozen=True)
class BlockPrune(Compression):
    """Keep the blocks of largest norm, jointly over a task; the weights of the others become zero.

    Solves ``min ‖w − θ‖² s.t. at most κ blocks are nonzero, at least one in each layer``, with
    ``κ = round(density · blocks)``, exactly; under a diagonal weighting too (block pruning of
    Joseph et al., arXiv:1911.02497). Ties go to the earlier block. Blocks lie on a grid from the
    weight's origin; where they do not divide a dimension the last ones are cut off, and count as
    blocks all the same.

    Args:
        density: Fraction of blocks that survive, in (0, 1].
        linear: Block of linear layers, as rows (outputs) and columns (inputs).
        conv: Block of convolutions: filters, input channels, then the kernel's dimensions. A block
            of fewer dimensions than the weight spans all of the others.
        norm: How a block's weights make its score: ``"l2"``, for which the projection is exact, or
            ``"l1"``, ``"max"``, ``"mean"`` (sum, largest and mean magnitude, of ``√h w`` under a
            weighting), for which the survivors have the largest total score instead.
        scope: ``"joint"``, one threshold for the whole task, or ``"layer"``: each layer keeps its
            best ``round(density · blocks)``.
    """

    name: ClassVar[str] = "block-prune"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"density": {"low": 0.05, "high": 0.6, "log": True}}
    density: float
    linear: Block = (4, 4)
    conv: Block = (4, 1)
    norm: str = "l2"
    scope: str = "joint"

    def __post_init__(self) -> None:
        check_density(self.density)
        grouping.check_choice("norm", self.norm, grouping.NORMS)
        grouping.check_choice("scope", self.scope, grouping.SCOPES)
        for key, block, most in (("linear", self.linear, 2), ("conv", self.conv, 5)):
            if not isinstance(block, tuple) or not 1 <= len(block) <= most:
                raise SchemeError(f"{key} = {block!r}: a block has 1 to {most} sizes, such as 4, 4")
            for size in block:
                grouping.check_count(f"{key} = {block}: size", size)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> BlockCode:
        del mu, previous
        shapes = shapes_of(weights)
        blocks = self._blocks(shapes)
        flat, norm = joined(weights), diagonal(self.name, weighting, weights)
        scores = self._scores(flat, norm, shapes, blocks)
        counts = [numel(grid(shape, block)) for shape, block in zip(shapes, blocks, strict=True)]
        index = budget.positions(scores, counts, self.density, joint=self.scope == "joint")
        mask = mask_of(index, shapes, blocks)
        values = gather(flat, mask)
        inner = DenseCode(values, shapes_of((values,)), values.dtype)
        code = BlockCode(index, inner, shapes, blocks)
        whole = under(flat, mask)
        return code if whole is None else code.holding(unflatten(whole, shapes))

    def _scores(self, flat: Tensor, norm: Tensor | None, shapes: Shapes, blocks: Shapes) -> Tensor:
        """Return the scores of all blocks, one vector."""
        parts = grouping.block_parts(shapes, blocks)
        sizes = [numel(part.sizes) for part in parts]
        weights = flat.split(sizes)
        norms = [None] * len(parts) if norm is None else norm.split(sizes)
        scores = [
            grouping.block_scores(
                w.view(p.sizes), p.sides, self.norm, None if h is None else h.view(p.sizes)
            )
            for w, h, p in zip(weights, norms, parts, strict=True)
        ]
        return torch.cat([part.reshape(-1) for part in scores])

    def _blocks(self, shapes: Shapes) -> Shapes:
        """Return the block of each tensor, as many sizes as it has dimensions."""
        if not shapes:
            raise SchemeError("a compression needs at least one weight tensor")
        return tuple(self._block(position, shape) for position, shape in enumerate(shapes))

    def _block(self, position: int, shape: tuple[int, ...]) -> Block:
        tensor = f"block-prune: tensor {position} of shape {shape}"
        if len(shape) < 2:
            raise SchemeError(f"{tensor} is not a weight of two or more dimensions: leave it out")
        key = "linear" if len(shape) == 2 else "conv"
        block = self.linear if len(shape) == 2 else self.conv
        if len(block) > len(shape) or any(b > s for b, s in zip(block, shape, strict=False)):
            raise SchemeError(
                f"{tensor} has no block {key} = {block}: accepted are up to {len(shape)} sizes, "
                f"none above the tensor's"
            )
        return (*block, *shape[len(block) :])

    def check(self, shapes: Shapes) -> None:
        self._blocks(shapes)

    def fitted(self, shapes: Shapes) -> Compression:
        linear, conv = ([s for s in shapes if (len(s) == 2) == flag] for flag in (True, False))
        return replace(self, linear=_within(self.linear, linear), conv=_within(self.conv, conv))

    def _row_sizes(self, shapes: Shapes) -> list[Tensor]:
        pairs = zip(shapes, self._blocks(shapes), strict=True)
        return [sizes_of(shape, block) for shape, block in pairs]

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        sizes = self._row_sizes(shapes)
        joint = self.scope == "joint"
        counts = budget.fixed_counts([s.numel() for s in sizes], self.density, joint=joint, align=1)
        if counts is None:  # one block of each layer, the others wherever they are smallest
            firsts = [s.sort().values for s in sizes]
            others = torch.cat([s[1:] for s in firsts]).sort().values
            more = round(self.density * sum(s.numel() for s in sizes)) - len(sizes)
            return ((sum(int(s[0]) for s in firsts) + int(others[:more].sum()),),)
        pairs = zip(sizes, counts, strict=True)
        return ((sum(int(s.sort().values[:count].sum()) for s, count in pairs),),)

    def estimate(self, shapes: Shapes) -> Estimate:
        blocks, joint = self._blocks(shapes), self.scope == "joint"
        rows = self._row_sizes(shapes)
        sizes = [row.numel() for row in rows]
        counts = budget.fixed_counts(sizes, self.density, joint=joint, align=1)
        if counts is None:
            pool, chosen = [torch.cat(rows)], [budget.allowed(sizes, self.density, 1)]
        else:
            pool, chosen = rows, counts
        larger = self.norm != "mean"
        numbers = added(_held(row, count, larger) for row, count in zip(pool, chosen, strict=True))
        places, buffers = positions(sum(chosen), sum(sizes))
        meta = {"shapes": shapes, "blocks": blocks, **places}
        return held("block", meta, buffers, dense(((round(numbers.value),),), count=numbers))

    def canonical(self, shapes: Shapes) -> Compression:
        sizes = [s.numel() for s in self._row_sizes(shapes)]
        if budget.density_keeps_all(sizes, self.density, joint=self.scope == "joint"):
            return Dense()
        linear, conv = ({len(shape) == 2 for shape in shapes} == {flag} for flag in (True, False))
        return replace(
            self,
            # the other kind's block changes nothing
            linear=BlockPrune.linear if conv else self.linear,
            conv=BlockPrune.conv if linear else self.conv,
            scope="joint" if len(shapes) == 1 else self.scope,
        )


def _held(sizes: Tensor, count: int, larger: bool) -> Known:
    """Return how many elements so many blocks of these sizes have.

    Expected are the larger ones where more elements make for a larger norm.
    """
    ordered = sizes.sort().values
    low, high = int(ordered[:count].sum()), int(ordered[len(ordered) - count :].sum())
    return Known(high if larger else count * float(sizes.double().mean()), low, high)


def _within(block: Block, shapes: list[tuple[int, ...]]) -> Block:
    """Return a block no larger than any of the shapes."""
    return tuple(map(min, zip(block, *shapes, strict=False))) if shapes else block

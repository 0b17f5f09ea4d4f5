"""Structured pruning: whole neurons and filters, their biases with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    Compression,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    numel,
    refuse,
    require_finite,
    shapes_of,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.prune import check_density, largest
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError


def leaders(shapes: Shapes) -> list[int]:
    """For each tensor, the position of the weight whose output channels it shares.

    A weight of two or more dimensions leads; the vectors after it (bias, batch-norm scale and
    shift) follow, and must have its number of output channels.

    Raises:
        SchemeError: a vector that follows no weight, or of another length.
    """
    owners: list[int] = []
    for position, shape in enumerate(shapes):
        if len(shape) >= 2:
            owners.append(position)
        elif not owners or len(shape) != 1 or shape[0] != shapes[owners[-1]][0]:
            raise SchemeError(
                f"structured pruning takes weights, each followed by vectors of its output "
                f"channels; tensor {position} of shape {shape} is neither"
            )
        else:
            owners.append(owners[-1])
    return owners


@final
@dataclass(frozen=True, eq=False)
class StructureCode(InnerCode):
    """The surviving output channels of each weight; all other channels are zero.

    Attributes:
        kept: For each leading weight, the sorted positions of its surviving channels (int64).
        inner: Holds the surviving slices of every tensor, in the task's order.
        shapes: Shapes of all tensors.
    """

    kind: ClassVar[str] = "structure"
    kept: Tensors
    inner: Code
    shapes: Shapes

    def channels(self) -> Tensors:
        """Return the surviving channels for each tensor, followers included."""
        owners = leaders(self.shapes)
        groups = dict(zip(sorted(set(owners)), self.kept, strict=True))
        return tuple(groups[owner] for owner in owners)

    def decode(self) -> Tensors:
        decoded = []
        parts = zip(self.inner.decode(), self.channels(), self.shapes, strict=True)
        for values, kept, shape in parts:
            full = values.new_zeros(shape)
            full[kept] = values
            decoded.append(full)
        return tuple(decoded)

    def _bitmap(self) -> Tensor:
        rows = [shape[0] for shape in self.shapes if len(shape) >= 2]
        offsets = torch.tensor([0, *rows]).cumsum(0)
        bitmap = torch.zeros(int(offsets[-1]), dtype=torch.uint8)
        for kept, offset in zip(self.kept, offsets[:-1], strict=True):
            bitmap[kept.cpu() + offset] = 1
        return bitmap

    def own_bits(self) -> int:
        return sum(shape[0] for shape in self.shapes if len(shape) >= 2)

    def tensors(self) -> dict[str, Tensor]:
        return {"kept": bitpack.pack(self._bitmap(), 1)}

    def meta(self) -> Meta:
        return {"shapes": [list(shape) for shape in self.shapes]}

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        rows = [shape[0] for shape in shapes if len(shape) >= 2]
        bitmap = bitpack.unpack(tensors["kept"], 1, sum(rows))
        values = children["inner"].decode()
        kept = tuple(
            torch.nonzero(part).flatten().to(values[0].device) for part in bitmap.split(rows)
        )
        code = cls(kept, children["inner"], shapes)
        for value, channels, shape in zip(values, code.channels(), shapes, strict=True):
            if tuple(value.shape) != (channels.numel(), *shape[1:]):
                raise ValueError(f"slices {tuple(value.shape)} do not fit {shape}")
        return code


@final
@dataclass(frozen=True)
class StructurePrune(Compression):
    """Keep the neurons (linear) and filters (convolution) of largest norm, jointly over a task.

    A group is one output channel: its slice of the weight and of every vector tied to it (bias,
    batch-norm scale and shift), so that a pruned channel outputs exactly zero and can be removed.
    Solves ``min ‖w − θ‖² s.t. at most κ groups are nonzero, at least one in each layer``, with
    ``κ = round(density · groups)``, exactly: the largest squared norms survive, one threshold for
    all layers (structure pruning of Joseph et al., arXiv:1911.02497). Ties go to the earlier group.

    Args:
        density: Fraction of neurons and filters that survive, in (0, 1].
    """

    name: ClassVar[str] = "structure-prune"
    structured: ClassVar[bool] = True
    ranges: ClassVar[Mapping[str, Any]] = {"density": {"low": 0.2, "high": 1.0}}
    density: float

    def __post_init__(self) -> None:
        check_density(self.density)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> StructureCode:
        refuse(self.name, weighting)
        del mu, previous
        shapes = shapes_of(weights)
        owners = leaders(shapes)
        energy: dict[int, Tensor] = {}
        for weight, owner in zip(weights, owners, strict=True):
            require_finite(weight.detach())
            rows = (
                weight.detach().to(torch.float64).square().flatten(1)
                if weight.dim() > 1
                else (weight.detach().to(torch.float64).square()[:, None])
            )
            energy[owner] = energy.get(owner, torch.zeros((), device=weight.device)) + rows.sum(1)
        kept = _select(list(energy.values()), self.density)
        channels = dict(zip(energy, kept, strict=True))
        slices = tuple(w.detach()[channels[o]] for w, o in zip(weights, owners, strict=True))
        flat = torch.cat([s.reshape(-1) for s in slices])
        return StructureCode(kept, DenseCode(flat, shapes_of(slices), flat.dtype), shapes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        weights = [shape for shape in shapes if len(shape) > 1]
        kept = max(len(weights), round(self.density * sum(shape[0] for shape in weights)))
        return ((kept * min(numel(shape[1:]) for shape in weights),),)

    def check(self, shapes: Shapes) -> None:
        leaders(shapes)

    def canonical(self, shapes: Shapes) -> Compression:
        groups = sum(shape[0] for shape in shapes if len(shape) >= 2)
        return Dense() if round(self.density * groups) >= groups else self


def _select(energy: list[Tensor], density: float) -> Tensors:
    """Keep the best group of each layer, then the largest of the rest under one threshold."""
    sizes = [e.numel() for e in energy]
    scores = torch.cat(energy)
    offsets = torch.tensor([0, *sizes]).cumsum(0)[:-1].tolist()
    best = [offset + int(e.argmax()) for offset, e in zip(offsets, energy, strict=True)]
    scores[best] = torch.inf
    chosen = largest(scores, max(len(sizes), round(density * scores.numel())))
    keep = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    keep[chosen] = True
    return tuple(torch.nonzero(part).flatten() for part in keep.split(sizes))

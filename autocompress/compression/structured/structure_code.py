"""The code of structured pruning: which channels of each layer survive, and their weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    numel,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import DenseCode
from autocompress.compression.selection import fast, put, take
from autocompress.compression.weighting import Diagonal, Weighting
from autocompress.errors import SchemeError

_NUMPY = (torch.float16, torch.float32, torch.float64)


def leaders(shapes: Shapes, joined: Sequence[int] = ()) -> list[int]:
    """For each tensor, the position of the weight whose output channels it shares.

    A weight of two or more dimensions leads; the vectors after it (bias, batch-norm scale and
    shift) follow, and must have its number of output channels.

    Args:
        shapes: Shapes of all tensors.
        joined: Positions of vectors that lead themselves: of a batch norm over several layers.

    Raises:
        SchemeError: a vector that follows no weight, or of another length.
    """
    owners: list[int] = []
    for position, shape in enumerate(shapes):
        if len(shape) >= 2 or (position in joined and len(shape) == 1):
            owners.append(position)
        elif not owners or len(shape) != 1 or shape[0] != shapes[owners[-1]][0]:
            raise SchemeError(
                f"structure-prune takes weights, each followed by vectors of its output "
                f"channels; tensor {position} of shape {shape} is neither"
            )
        else:
            owners.append(owners[-1])
    return owners


def weights_alone(shapes: Shapes) -> list[int]:
    """Return the positions of weights, all of which have input channels.

    Raises:
        SchemeError: some tensor is a vector.
    """
    for position, shape in enumerate(shapes):
        if len(shape) < 2:
            raise SchemeError(
                f"structure-prune with groups = 'inputs' takes weights of two or more dimensions; "
                f"tensor {position} of shape {shape} has no input channels: leave it out"
            )
    return list(range(len(shapes)))


@functools.lru_cache(maxsize=64)
def _owners(shapes: Shapes, axis: int, joined: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(weights_alone(shapes) if axis else leaders(shapes, joined))


def followed(
    shapes: Shapes,
    kept: Sequence[Tensor],
    axis: int,
    biases: bool,
    joined: tuple[int, ...] = (),
) -> tuple[Tensor | None, ...]:
    """Return the surviving slices for each tensor; None for vectors that stay whole.

    Args:
        shapes: Shapes of all tensors.
        kept: Sorted positions of the survivors, for each leading weight.
        axis: The dimension of weights they are along.
        biases: Whether vectors lose channels too.
        joined: Positions of vectors that lead themselves.
    """
    owners = _owners(shapes, axis, joined)
    groups = dict(zip(sorted(set(owners)), kept, strict=True))
    return tuple(
        groups[owner] if biases or len(shape) > 1 else None
        for owner, shape in zip(owners, shapes, strict=True)
    )


def sliced(
    weights: Tensors,
    shapes: Shapes,
    kept: Sequence[Tensor],
    axis: int,
    biases: bool,
    joined: tuple[int, ...] = (),
) -> Tensors:
    """Return the surviving slices of tensors: copies, but of those that stay whole."""
    parts = zip(weights, followed(shapes, kept, axis, biases, joined), strict=True)
    return tuple(w.detach() if k is None else take(w.detach(), k, axis) for w, k in parts)


def gathered(
    weights: Tensors,
    shapes: Shapes,
    kept: Sequence[Tensor],
    axis: int,
    biases: bool,
    joined: tuple[int, ...] = (),
) -> tuple[Tensor, Shapes]:
    """Return what :func:`sliced` does as one vector, and its shapes."""
    slices = sliced(weights, shapes, kept, axis, biases, joined)
    return torch.cat([s.reshape(-1) for s in slices]), shapes_of(slices)


@final
@dataclass(frozen=True, eq=False)
class StructureCode(InnerCode):
    """The surviving channels of each weight; all the others are zero.

    Attributes:
        kept: For each leading weight and joined vector, the sorted positions of its surviving
            channels (int64).
        inner: Holds the surviving slices of every tensor, in the task's order.
        shapes: Shapes of all tensors.
        axis: 0 where the channels are outputs, 1 where they are inputs.
        biases: Whether the vectors that follow a weight lose its channels too.
        joined: Positions of vectors that have survivors of their own.
    """

    kind: ClassVar[str] = "structure"
    kept: Tensors
    inner: Code
    shapes: Shapes
    axis: int = 0
    biases: bool = True
    joined: tuple[int, ...] = ()

    def channels(self) -> Tensors:
        """Return the surviving channels for each tensor, followers included."""
        parts = zip(self._followed(), self.shapes, strict=True)
        return tuple(
            torch.arange(shape[0], device=self.kept[0].device) if kept is None else kept
            for kept, shape in parts
        )

    def _followed(self) -> tuple[Tensor | None, ...]:
        return followed(self.shapes, self.kept, self.axis, self.biases, self.joined)

    def decode(self) -> Tensors:
        ready = self.given()
        if ready is not None:
            return ready
        inner = self.inner
        plain = isinstance(inner, DenseCode) and inner.dtype in _NUMPY and fast(inner.flat)
        if isinstance(inner, DenseCode) and plain and self.axis == 0:
            return self._decode_rows(inner)
        parts = zip(self.inner.decode(), self.channels(), self.shapes, strict=True)
        return tuple(put(kept, values, shape, self.axis) for values, kept, shape in parts)

    def _decode_rows(self, inner: DenseCode) -> Tensors:
        """Decode outputs held as they are: rows go straight into place, without a copy of them."""
        values = inner.flat.to(inner.dtype).numpy()
        full = np.zeros(total_numel(self.shapes), values.dtype)
        start = first = 0
        for kept, shape in zip(self._followed(), self.shapes, strict=True):
            width, size = numel(shape[1:]), numel(shape)
            count = shape[0] if kept is None else kept.numel()
            part = values[start : start + count * width].reshape(count, width)
            rows = full[first : first + size].reshape(shape[0], width)
            rows[slice(None) if kept is None else kept.numpy()] = part
            start, first = start + count * width, first + size
        return unflatten(torch.from_numpy(full), self.shapes)

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        if not isinstance(weighting, Diagonal):
            return None
        slices = sliced(
            weighting.values, self.shapes, self.kept, self.axis, self.biases, self.joined
        )
        return self.inner.reals_weighting(Diagonal(slices))

    def _sizes(self) -> list[int]:
        return _sizes(self.shapes, self.axis, self.joined)

    def _bitmap(self) -> Tensor:
        parts = []
        for kept, size in zip(self.kept, self._sizes(), strict=True):
            part = torch.zeros(size, dtype=torch.uint8)
            part[kept.cpu()] = 1
            parts.append(part)
        return torch.cat(parts)

    def own_bits(self) -> int:
        return sum(self._sizes())

    def tensors(self) -> dict[str, Tensor]:
        return {"kept": bitpack.pack(self._bitmap(), 1)}

    def meta(self) -> Meta:
        meta: Meta = {"shapes": [list(shape) for shape in self.shapes]}
        # left out where they are what they were before they could be anything else
        axis = {"axis": self.axis} if self.axis else {}
        joined = {"joined": list(self.joined)} if self.joined else {}
        return meta | axis | ({} if self.biases else {"biases": False}) | joined

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        axis, biases = meta.get("axis", 0), meta.get("biases", True)
        if axis not in (0, 1) or not isinstance(biases, bool):
            raise ValueError(f"axis {axis!r} is not 0 or 1, or biases {biases!r} no boolean")
        joined = tuple(meta.get("joined", ()))
        if any(type(p) is not int or not 0 <= p < len(shapes) or axis for p in joined):
            raise ValueError(f"joined {joined!r} are no positions of vectors")
        sizes = _sizes(shapes, axis, joined)
        bitmap = bitpack.unpack(tensors["kept"], 1, sum(sizes))
        values = children["inner"].decode()
        kept = tuple(
            torch.nonzero(part).flatten().to(values[0].device) for part in bitmap.split(sizes)
        )
        code = cls(kept, children["inner"], shapes, axis, biases, joined)
        for value, channels, shape in zip(values, code.channels(), shapes, strict=True):
            if tuple(value.shape) != (*shape[:axis], channels.numel(), *shape[axis + 1 :]):
                raise ValueError(f"slices {tuple(value.shape)} do not fit {shape}")
        return code


def _sizes(shapes: Shapes, axis: int, joined: Sequence[int]) -> list[int]:
    return [s[axis] for position, s in enumerate(shapes) if len(s) >= 2 or position in joined]

"""Tensors of a task: their shapes, one vector of them all and back, and whether they are finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from autocompress.errors import SchemeError

_SMALL = 1 << 15  # numbers of a tensor that take less time than calls do

PLAIN = (torch.float32, torch.float64)  # dtypes that NumPy computes in

Tensors: TypeAlias = tuple[Tensor, ...]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]


def numel(shape: Sequence[int]) -> int:
    """Number of elements of a tensor of this shape."""
    return math.prod(shape)


def total_numel(shapes: Shapes) -> int:
    """Number of elements of all tensors of these shapes together."""
    return sum(map(math.prod, shapes))


def shapes_of(weights: Tensors) -> Shapes:
    """Shapes of the tensors, as plain tuples."""
    return tuple(tuple(w.shape) for w in weights)


def flatten(weights: Tensors) -> Tensor:
    """Concatenate weights into one vector (a view where there is just one).

    Raises:
        SchemeError: some weight is NaN or infinite, or there is none.
    """
    flat = joined(weights)
    require_finite(flat)
    return flat


def joined(weights: Tensors) -> Tensor:
    """Concatenate weights as :func:`flatten` does, where what follows finds NaN and infinity.

    Raises:
        SchemeError: there is no weight.
    """
    if not weights:
        raise SchemeError("a compression needs at least one weight tensor")
    if len(weights) == 1:
        return weights[0].detach().reshape(-1)
    flat: Tensor = _flatten_dense_tensors(weights)  # one call, where reshaping is one a tensor
    return flat.detach()


def gathered_small(weights: Tensors) -> list[Tensors]:
    """Return tensors one by one, or many small ones together: what is quickest to go through.

    To :func:`joined` each then copies nothing but small ones.
    """
    size = sum(w.numel() for w in weights)
    return [weights] if size <= _SMALL * len(weights) else [(w,) for w in weights]


def require_finite(tensor: Tensor) -> None:
    """Raise SchemeError if any element is NaN or infinite."""
    tensor = tensor.detach()
    # one pass mostly settles it: no sum is finite if a number is not
    if not tensor.numel() or math.isfinite(float(tensor.sum())):
        return
    # or the sum overflowed. Nothing is made: NaN is both the smallest and the largest
    low, high = extremes(tensor)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SchemeError("weights contain NaN or infinity: nothing can be compressed")


def extremes(tensor: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest number of a tensor that has any; both NaN if one is."""
    tensor = tensor.detach()
    if tensor.device.type == "cpu" and tensor.dtype in PLAIN:
        array = tensor.numpy()  # its two passes take half the time of torch's one
        with np.errstate(invalid="ignore"):
            return float(array.min()), float(array.max())
    low, high = torch.aminmax(tensor)
    return float(low), float(high)


def unflatten(flat: Tensor, shapes: Shapes) -> Tensors:
    """Cut a vector back into tensors of the given shapes, which share its memory."""
    sizes = list(map(math.prod, shapes))
    plain = type(flat) is Tensor and flat.is_cpu and not flat.requires_grad and flat.dtype in PLAIN
    if not plain or not flat.is_contiguous() or flat.numel() != sum(sizes):
        return tuple(p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True))
    array, start, parts = flat.numpy(), 0, []  # less than half of the time of torch's views
    for size, shape in zip(sizes, shapes, strict=True):
        parts.append(torch.from_numpy(array[start : start + size].reshape(shape)))
        start += size
    return tuple(parts)

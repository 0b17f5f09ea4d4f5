"""Input channels of float32 weights on a CPU, pruned under one threshold.

As :mod:`.outputs`, but channels are columns: nothing is to be gained by making the weights one
vector.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.base import Shapes, Tensors, total_numel
from autocompress.compression.dense import DenseCode
from autocompress.compression.structured import energies
from autocompress.compression.structured.channels import Index, Vector
from autocompress.compression.structured.structure_code import StructureCode, weights_alone

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class InputLayout:
    """The input channels of all weights, numbered one after the other; each is a group.

    Weights are ``(out, in · rest)`` matrices of ``rest`` columns a channel.

    Attributes:
        sizes: Channels of each weight.
        rests: Columns of a channel of each weight.
        tops: The first channel of each weight.
        width: Most weights in a channel.
    """

    sizes: tuple[int, ...]
    rests: tuple[int, ...]
    tops: Index
    width: int

    def sums(self, weights: list[Vector]) -> Vector:
        """Return the sum of squares of every channel, in single precision; overflow gives inf."""
        parts = [_columns(w, rest) for w, rest in zip(weights, self.rests, strict=True)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def exact(self, weights: list[Vector], groups: Index) -> NDArray[np.float64]:
        """Return the sums of squares of a few channels, in double precision."""
        ends = list(itertools.accumulate(self.sizes))
        sums = []
        for group in groups.tolist():
            position = int(np.searchsorted(ends, group, "right"))
            rest = self.rests[position]
            first = (group - ends[position] + self.sizes[position]) * rest
            part = weights[position][:, first : first + rest].astype(np.float64).ravel()
            sums.append(float(part.dot(part)))
        return np.array(sums)


@functools.lru_cache(maxsize=64)
def input_layout(shapes: Shapes) -> InputLayout:
    """Return where the input channels of weights of these shapes are.

    Raises:
        SchemeError: some tensor is a vector.
    """
    weights_alone(shapes)
    sizes = tuple(shape[1] for shape in shapes)
    rests = tuple(math.prod(shape[2:]) for shape in shapes)
    tops = np.array([0, *itertools.accumulate(sizes)][:-1], dtype=np.int64)
    width = max(shape[0] * rest for shape, rest in zip(shapes, rests, strict=True))
    return InputLayout(sizes, rests, tops, width)


def _columns(matrix: Vector, rest: int) -> Vector:
    """Return the sum of squares of every ``rest`` columns of a matrix."""
    total: Vector = np.einsum("ij,ij->j", matrix, matrix)  # one pass, nothing in between
    return total if rest == 1 else total.reshape(-1, rest) @ np.ones(rest, np.float32)


def prune(weights: Tensors, shapes: Shapes, count: int, biases: bool) -> StructureCode | None:
    """Keep the input channels of largest energy, as :class:`.StructurePrune` does.

    Args:
        weights: A task's tensors.
        shapes: Their shapes.
        count: How many channels survive, fewer than there are and more than there are weights.
        biases: What the code says of vectors, of which there are none.

    Returns:
        The code. None as in :func:`.outputs.prune`.
    """
    if not all(w.dtype is torch.float32 and w.is_cpu for w in weights):
        return None
    places = input_layout(shapes)
    arrays = [(w.detach() if w.requires_grad else w).numpy() for w in weights]
    matrices = [np.ascontiguousarray(array).reshape(len(array), -1) for array in arrays]
    channels = energies.strongest(matrices, places, count)
    if channels is None:
        return None
    masks = _cut(channels, places)
    indices = [mask.nonzero()[0] for mask in masks]
    left = tuple((s[0], k.size, *s[2:]) for k, s in zip(indices, shapes, strict=True))
    values = np.empty(total_numel(left), np.float32)
    start = 0
    for matrix, index, rest in zip(matrices, indices, places.rests, strict=True):
        shape = (len(matrix), index.size, rest)
        end = start + math.prod(shape)
        # all are within: nothing to wrap around, and nothing to buffer in case one is not
        channel = matrix.reshape(len(matrix), -1, rest)
        channel.take(index, 1, values[start:end].reshape(shape), "wrap")
        start = end
    kept = tuple(map(torch.from_numpy, indices))
    inner = DenseCode(torch.from_numpy(values), left, torch.float32)
    bits = _cut(np.negative(channels.view(np.int8)).astype(np.int32), places)
    decoded = map(_cleared, matrices, shapes, bits, places.rests)
    return StructureCode(kept, inner, shapes, 1, biases).holding(tuple(decoded))


def _cut(channels: NDArray[_T], places: InputLayout) -> list[NDArray[_T]]:
    """Cut what is one number a channel into vectors, one a weight."""
    firsts = places.tops.tolist()
    return [channels[top : top + n] for top, n in zip(firsts, places.sizes, strict=True)]


def _cleared(matrix: Vector, shape: tuple[int, ...], bits: NDArray[np.int32], rest: int) -> Tensor:
    """Return a weight with zeros, no negative ones, for channels whose bits are not all set."""
    cleared = np.empty(shape, np.float32)  # of large pages where it is large
    given, into = (
        torch.from_numpy(w.view(np.int32)) for w in (matrix, cleared.reshape(len(matrix), -1))
    )
    mask = torch.from_numpy(bits.repeat(rest) if rest > 1 else bits)
    torch.bitwise_and(given, mask, out=into)
    return torch.from_numpy(cleared)

"""Small weights for brute force: ties, constants, zeros, tiny and huge scales, both precisions."""

from __future__ import annotations

import copy
import json

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression.base import Code, Tensors
from autocompress.storage import codec

SCALES = (1.0, 1.0, 1e-30, 1e-4, 1e4, 1e30)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    """One tensor of the given shape."""
    size = int(np.prod(shape))
    element = draw(
        st.sampled_from(
            [
                st.integers(-2, 2).map(float),  # ties
                st.just(draw(st.integers(-3, 3)) / 2),  # constant
                st.floats(-4, 4, width=32, allow_subnormal=False),
            ]
        )
    )
    values = draw(st.lists(element, min_size=size, max_size=size))
    scale, dtype = draw(st.sampled_from(SCALES)), draw(st.sampled_from(DTYPES))
    return (torch.tensor(values, dtype=torch.float64) * scale).to(dtype).reshape(shape)


DTYPES = (torch.float32, torch.float64)


@st.composite
def vectors(draw: st.DrawFn, most: int, least: int = 1) -> Tensor:
    """One vector of ``least`` to ``most`` elements."""
    return draw(tensors((draw(st.integers(least, most)),)))


@st.composite
def matrices(draw: st.DrawFn, most: int) -> Tensor:
    """One matrix of up to ``most`` rows and columns."""
    side = st.integers(1, most)
    return draw(tensors((draw(side), draw(side))))


def cut(vector: Tensor, pieces: int) -> Tensors:
    """Cut a vector into up to ``pieces`` tensors: what a task of several parameters sees."""
    return tuple(part.clone() for part in vector.chunk(pieces))


def error(decoded: Tensors, weights: Tensors) -> float:
    """Squared distance, in double precision."""
    pairs = zip(decoded, weights, strict=True)
    return sum(float((w.double() - d.double()).square().sum()) for d, w in pairs)


def energy(weights: Tensors) -> float:
    """Squared norm, in double precision."""
    return sum(float(w.double().square().sum()) for w in weights)


def slack(weights: Tensors, factor: float = 64.0) -> float:
    """What rounding in the weights' precision may add to a squared error."""
    epsilon = max(torch.finfo(w.dtype).eps for w in weights)
    return (factor * epsilon) ** 2 * energy(weights)


def same(a: Tensors, b: Tensors) -> bool:
    """Whether two tuples of tensors agree in dtype, shape and value."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True)
    )


def stored(code: Code) -> Code:
    """Return a code after a trip through JSON and copied buffers."""
    node, buffers = codec.encode(code, "x")
    return codec.decode(json.loads(json.dumps(node)), copy.deepcopy(buffers))


def check_code(code: Code, weights: Tensors) -> None:
    """What holds for the code of any weights."""
    decoded = code.decode()
    assert [(d.shape, d.dtype) for d in decoded] == [(w.shape, w.dtype) for w in weights]
    again = stored(code)
    assert same(again.decode(), decoded)
    assert again.bits() == code.bits()
    buffers = codec.encode(code, "x")[1].values()
    full = sum(8 * b.numel() * b.element_size() for b in buffers)
    assert code.bits() <= full < code.bits() + 8 * max(len(buffers), 1)

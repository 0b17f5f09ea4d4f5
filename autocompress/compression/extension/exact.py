"""The smallest code of given weights, without any error."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.base import Code, Shapes, Tensors, flatten, shapes_of
from autocompress.compression.codebooks.codebook import CodebookCode
from autocompress.compression.dense import DenseCode
from autocompress.compression.pruning.prune import SparseCode

_SAMPLE = 1 << 16
_NARROW = (torch.float16, torch.bfloat16, torch.float32)


def smallest(weights: Tensors) -> Code:
    """Return the code of fewest bits that decodes to exactly these weights.

    Tried are the numbers as they are, an index into their distinct values, and both for the
    nonzero ones alone, with their positions; numbers that fit into 16 bits are stored in 16. The
    sign of zero is not kept.

    Args:
        weights: Floating point and finite.

    Raises:
        SchemeError: some weight is NaN or infinite.
    """
    shapes = shapes_of(weights)
    flat = flatten(weights)
    flat = flat + torch.zeros((), dtype=flat.dtype, device=flat.device)  # a copy without −0
    codes = _vector_codes(flat, shapes)
    index = torch.nonzero(flat).flatten()
    if index.numel() < flat.numel():
        values = flat[index]
        inner = min(_vector_codes(values, (tuple(values.shape),)), key=lambda code: code.bits())
        codes.append(SparseCode(index, inner, shapes))
    return min(codes, key=lambda code: code.bits())


def _vector_codes(flat: Tensor, shapes: Shapes) -> list[Code]:
    codes: list[Code] = [_dense(flat, shapes)]
    if flat.numel() and _repeats(flat):
        values, places = torch.unique(flat, return_inverse=True)
        inner = _dense(values, (tuple(values.shape),))
        codes.append(CodebookCode(places, values.numel(), inner, shapes))
    return codes


def _repeats(flat: Tensor) -> bool:
    """Whether values may repeat often enough for a codebook; looks at some of them."""
    step = max(1, flat.numel() // _SAMPLE)
    sample = flat[::step].float().cpu().numpy()
    return bool(np.unique(sample).size <= max(2, sample.size // 2))


def _dense(flat: Tensor, shapes: Shapes) -> DenseCode:
    for dtype in _NARROW:
        if dtype.itemsize < flat.dtype.itemsize:
            narrow = flat.to(dtype)
            if torch.equal(narrow.to(flat.dtype), flat):
                return DenseCode(narrow, shapes, flat.dtype)
    return DenseCode(flat, shapes, flat.dtype)

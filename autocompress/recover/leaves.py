"""The real numbers of a code tree as leaves that can be trained and put back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autocompress.compression.base import Code, InnerCode
from autocompress.compression.combinations.additive import AdditiveCode
from autocompress.compression.dense import DenseCode, nearest


def leaves(code: Code) -> list[Tensor]:
    """Return the numbers stored in a code, one vector for each of its dense parts, widened.

    In the order :func:`rebuilt` takes them; numbers stored in 16 or 8 bits come in the dtype they
    decode to.
    """
    return [part.flat.to(part.dtype, copy=True) for part in _dense(code)]


def rebuilt(code: Code, values: Sequence[Tensor], *, rounded: bool) -> Code:
    """Return the code with other numbers in its dense parts; what it decided stays.

    Args:
        code: The code.
        values: A vector for each dense part; gradients flow from the decoded weights to them.
        rounded: Whether to round them to what the part stores them in, as they will be in a file.
    """
    given = iter(values)

    def replace(part: Code) -> Code:
        if isinstance(part, DenseCode):
            value = next(given)
            if rounded:
                narrow = part.flat.dtype not in (torch.float32, torch.float64)
                value = nearest(value, part.flat.dtype) if narrow else value.to(part.flat.dtype)
            return DenseCode(value, part.shapes, part.dtype)
        if isinstance(part, AdditiveCode):
            return AdditiveCode(tuple(replace(term) for term in part.terms))
        if isinstance(part, InnerCode):
            return part.with_inner(replace(part.inner))
        return part

    return replace(code)


def _dense(code: Code) -> list[DenseCode]:
    if isinstance(code, DenseCode):
        return [code]
    return [leaf for child in code.children().values() for leaf in _dense(child)]

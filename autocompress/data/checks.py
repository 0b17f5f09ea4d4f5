"""What makes data unusable, each said in one clear `DataError`; and what identifies it."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from autocompress.digests import raw
from autocompress.errors import DataError


def checked_pair(where: str, pair: Any) -> tuple[Tensor, Tensor]:
    """Turn a user's ``(x, y)`` into float32 inputs and int64 labels.

    Args:
        where: Name of the split, for the message.
        pair: Two tensors or arrays: ``x`` real, ``(n, *input_shape)``; ``y`` integer, ``(n,)``.

    Returns:
        ``x`` float32 contiguous, ``y`` int64, on the devices they came on.

    Raises:
        DataError: Not a pair, lengths differ, empty, labels not integers, NaN or infinite inputs.
    """
    try:
        x, y = (torch.as_tensor(part) for part in pair)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: expected a pair of tensors (x, y): {error}") from None
    if x.ndim < 2:
        raise DataError(f"{where}: x has shape {tuple(x.shape)}, expected (n, *input_shape)")
    if y.ndim != 1:
        raise DataError(f"{where}: y has shape {tuple(y.shape)}, expected (n,): one class each")
    if len(x) != len(y):
        raise DataError(f"{where}: {len(x)} inputs x but {len(y)} labels y")
    if len(x) == 0:
        raise DataError(f"{where}: the split is empty")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise DataError(f"{where}: labels must be integers (class numbers), not {y.dtype}")
    if x.is_complex():
        raise DataError(f"{where}: inputs must be real numbers, not {x.dtype}")
    x = x.to(torch.float32).contiguous()
    bad = int((~torch.isfinite(x)).flatten(1).any(1).sum())
    if bad:
        raise DataError(f"{where}: {bad} of {len(x)} inputs contain NaN or infinite values")
    return x, y.to(torch.int64)


def check_labels(where: str, y: Tensor, classes: int) -> None:
    """Check that labels are in ``0 .. classes - 1``.

    Raises:
        DataError: One is not; the message names it.
    """
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise DataError(
            f"{where}: label {wrong} is out of range for {classes} classes (0 to {classes - 1})"
        )


def digest(*parts: Tensor | str) -> str:
    """Identify content: 16 hexadecimal digits of the SHA-256 of all parts.

    Args:
        parts: Tensors (dtype, shape and values count, the device does not) and strings.
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha.update(f"s{len(part)}:{part}".encode())
        else:
            sha.update(f"t{part.dtype}{tuple(part.shape)}:".encode())
            sha.update(raw(part))
    return sha.hexdigest()[:16]

"""Sampled schemes fitted to the weights they meet: codebooks not too large, ranks in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autocompress.compression import Compression, from_dict
from autocompress.compression.base import Shapes


def fit(values: Mapping[str, Any], shapes: Shapes, *, where: str = "") -> Compression:
    """Build a sampled scheme for weights of given shapes.

    What is too large for them is made to fit, see :meth:`Compression.fitted`.

    Args:
        values: The scheme's JSON form.
        shapes: Shapes of the task's tensors.
        where: File and key, for error messages.

    Raises:
        SchemeError: the scheme cannot apply to such weights.
    """
    compression = from_dict(values, where=where).fitted(shapes)
    compression.check(shapes)
    return compression

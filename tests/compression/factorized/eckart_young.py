"""The least error of a rank, by NumPy alone."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def discarded(matrix: Tensor, rank: int) -> float:
    """Eckart & Young: the least error is the sum of the discarded squared singular values."""
    singular = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    return float((singular[rank:] ** 2).sum())

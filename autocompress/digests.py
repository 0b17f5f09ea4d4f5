"""What digests of tensors are computed from."""

from __future__ import annotations

import torch
from torch import Tensor


def raw(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes, row by row, wherever it lies."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data

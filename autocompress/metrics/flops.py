"""Floating point operations of a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_flops(module: nn.Module, example: Tensor) -> int:
    """Count the floating point operations of one sample's forward pass.

    Counts what PyTorch's own counter does: matrix products and convolutions, at 2 operations a
    multiply-add (papers on compression often call the multiply-adds FLOPs: half this number).
    Activations, normalization and pooling count nothing, nor does it matter that weights are zero:
    only a realized module has fewer.

    Args:
        module: A module in eval mode. Not changed.
        example: An input batch, ``(batch, *input_shape)``; only its first sample is used.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(example[:1])
    return int(counter.get_total_flops())


def count_params(module: nn.Module) -> int:
    """Count the elements of a module's parameters, each shared one once."""
    return sum(parameter.numel() for parameter in module.parameters())

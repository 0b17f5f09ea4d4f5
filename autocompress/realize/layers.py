"""New layers from given weights, without touching the random number generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Return a linear layer with copies of ``weight`` ``(out, in)`` and ``bias`` ``(out,)``."""
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    _fill(layer, weight, bias)
    return layer


def convolution(
    like: Conv, weight: Tensor, bias: Tensor | None = None, axes: Sequence[bool] | None = None
) -> Conv:
    """Return an ungrouped convolution with copies of the given weight and bias.

    Args:
        like: Stride, padding and dilation are this layer's.
        weight: ``(out, in, *kernel)``.
        bias: ``(out,)`` or None.
        axes: Along which axes it strides, pads and dilates; all by default. The kernel is 1 wide
            along the others.
    """
    acts = tuple(axes) if axes is not None else (True,) * (weight.dim() - 2)
    kind: Any = type(like)  # the three classes differ in the length of their tuples only
    given: Any = like.padding  # "same" already means none where the kernel is 1 wide
    padding = given if isinstance(given, str) else _pick(given, acts, 0)
    layer: Conv = kind(
        weight.shape[1],
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=_pick(like.stride, acts, 1),
        padding=padding,
        dilation=_pick(like.dilation, acts, 1),
        bias=bias is not None,
        padding_mode=like.padding_mode,
        device="meta",
    )
    _fill(layer, weight, bias)
    return layer


def _pick(values: tuple[int, ...], acts: tuple[bool, ...], otherwise: int) -> tuple[int, ...]:
    return tuple(v if act else otherwise for v, act in zip(values, acts, strict=True))


def _fill(layer: nn.Linear | Conv, weight: Tensor, bias: Tensor | None) -> None:
    layer.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    layer.bias = None if bias is None else nn.Parameter(bias.detach().clone())

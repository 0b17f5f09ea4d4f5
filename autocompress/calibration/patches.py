"""What a layer multiplies its weight with: features of a linear layer, patches of a convolution."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def groups_of(layer: Layer) -> int:
    """Number of groups of a convolution; 1 for a linear layer."""
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the input of a layer however it was passed."""
    value = args[0] if args else kwargs["input"]
    assert isinstance(value, Tensor)
    return value


def unfold(layer: Layer, x: Tensor) -> Tensor:
    """Return the inputs of each output position, as a view where padding allows it.

    Args:
        layer: Linear or convolutional.
        x: Its input: ``(n, …, in)``, or ``(n, in, *spatial)``; n may be left out.

    Returns:
        ``(n, *positions, in)``, or ``(n, *positions, in, *kernel)``: the last dimensions are those
        of the weight, all groups together.
    """
    if isinstance(layer, nn.Linear):
        return x if x.dim() > 1 else x[None]
    if x.dim() < layer.weight.dim():  # torch takes a single example without its batch dimension
        x = x[None]
    spatial = len(layer.kernel_size)
    # torch keeps the padding of every kind ("same" too) in the form that F.pad takes
    padding = layer._reversed_padding_repeated_twice
    if any(padding):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = F.pad(x, padding, mode=mode)
    for axis in range(spatial):
        size, gap = layer.kernel_size[axis], layer.dilation[axis]
        x = x.unfold(2 + axis, gap * (size - 1) + 1, layer.stride[axis])[..., ::gap]
    positions = range(2, 2 + spatial)
    return x.permute(0, *positions, 1, *range(2 + spatial, 2 + 2 * spatial))


def by_group(layer: Layer, patches: Tensor) -> Tensor:
    """Return unfolded inputs as ``(n, groups, in/groups · kernel, positions)``."""
    groups = groups_of(layer)
    if isinstance(layer, nn.Linear):
        return patches.reshape(len(patches), -1, patches.shape[-1]).transpose(1, 2)[:, None]
    spatial = len(layer.kernel_size)
    positions = math.prod(patches.shape[1 : 1 + spatial])
    flat = patches.reshape(len(patches), positions, groups, -1)
    return flat.permute(0, 2, 3, 1)


def outputs_by_group(layer: Layer, outputs: Tensor) -> Tensor:
    """Return a tensor shaped like a layer's outputs as ``(n, groups, out/groups, positions)``."""
    if isinstance(layer, nn.Linear):
        return outputs.reshape(len(outputs), -1, outputs.shape[-1]).transpose(1, 2)[:, None]
    groups = layer.groups
    return outputs.reshape(len(outputs), groups, outputs.shape[1] // groups, -1)


def finite(tensor: Tensor) -> bool:
    """Whether all elements are finite."""
    return bool(torch.isfinite(tensor).all())

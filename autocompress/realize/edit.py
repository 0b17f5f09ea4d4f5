"""Small edits of a module tree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def replace(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Put ``new`` wherever ``old`` is in the tree; return the root."""
    if model is old:
        return new
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if module is old:
            model.set_submodule(path, new)
    return model


def owner(model: nn.Module, parameter: str) -> tuple[str, nn.Module]:
    """Return path and module of the layer that holds a parameter."""
    path = parameter.rpartition(".")[0]
    return path, model.get_submodule(path)


def call_shapes(
    model: nn.Module, example: Tensor, layers: Sequence[nn.Module]
) -> dict[nn.Module, tuple[Shape, Shape]]:
    """Return input and output shape of each layer's first call; layers not called are absent."""
    seen: dict[nn.Module, tuple[Shape, Shape]] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.setdefault(layer, (tuple(inputs[0].shape), tuple(output.shape)))

    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        with torch.no_grad():
            model(example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return seen

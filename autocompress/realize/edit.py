"""Small edits of a module tree."""

from __future__ import annotations

from torch import nn


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

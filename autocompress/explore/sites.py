"""Layers at work: what one sample makes each of them compute, dense or as two factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autocompress.compression.base import numel
from autocompress.compression.factorized.factors import matrix_shape
from autocompress.evaluation import evaluating
from autocompress.layers import find_layers
from autocompress.realize.layers import CONVS


@dataclass(frozen=True)
class Site:
    """A layer at work on one sample.

    Attributes:
        shape: Shape of its weight.
        first: How often the first of two spatial factors is applied.
        second: How often its weight, or the second factor, is applied.
        plain: Whether two layers can take its place.
    """

    shape: tuple[int, ...]
    first: int
    second: int
    plain: bool

    def dense(self, out: float, inputs: float) -> tuple[float, float]:
        """Return multiply-adds and weights with so many channels left."""
        weights = out * inputs * numel(self.shape[2:])
        return weights * self.second, weights

    def pair(self, out: float, inputs: float, rank: int, conv: str) -> tuple[float, float]:
        """Return the same of two layers of that rank."""
        rows, columns = matrix_shape(self.shape, conv)
        left, right = rows / self.shape[0] * out, columns / self.shape[1] * inputs
        first = self.first if conv == "spatial" and len(self.shape) == 4 else self.second
        return rank * (right * first + left * self.second), rank * (left + right)


def find_sites(model: nn.Module, example: Tensor) -> dict[str, Site]:
    """Return the layers that are called just once, by the name of their weight."""
    calls: dict[str, list[Site]] = {}
    hooks = []
    for layer in find_layers(model):
        module = model.get_submodule(layer.name)
        hooks.append(module.register_forward_hook(_recorder(calls.setdefault(layer.weight, []))))
    try:
        with evaluating(model), torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found[0] for name, found in calls.items() if len(found) == 1}


def _recorder(found: list[Site]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        linear = isinstance(module, nn.Linear)
        spatial = output.shape[1:-1] if linear else output.shape[2:]
        first = int(output.shape[2] * inputs[0].shape[3]) if output.dim() == 4 and not linear else 0
        plain = type(module) in (nn.Linear, *CONVS) and getattr(module, "groups", 1) == 1
        found.append(Site(tuple(weight.shape), first, numel(spatial), plain))

    return record

"""Structured pruning made real: channels that are zero, or that nothing reads, are taken out.

Which parameters lose which slices when a channel goes follows from :mod:`autocompress.graph`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.compression import Code
from autocompress.compression.structured.structure import StructureCode
from autocompress.plan import Plan
from autocompress.realize.edit import owner

Channels = Mapping[str, frozenset[int]]
"""For each layer, by path, its output channels that are zero."""


def zero_channels(model: nn.Module, plan: Plan, codes: Mapping[str, Code]) -> Channels:
    """Return the output channels of every layer in a structured task that are pruned and zero.

    Where biases stay, a pruned channel is zero only if they are.
    """
    zeros: dict[str, frozenset[int]] = {}
    for task in plan.tasks:
        code = codes[task.name]
        if not isinstance(code, StructureCode) or code.axis != 0:
            continue
        name = ""
        parts = zip(task.params, code.shapes, code.channels(), strict=True)
        for parameter, shape, kept in parts:
            if len(shape) >= 2:
                name, _ = owner(model, parameter)
                zeros[name] = frozenset(range(shape[0])) - frozenset(kept.tolist())
            elif not code.biases:
                vector = model.get_parameter(parameter).detach()
                zeros[name] -= frozenset(torch.nonzero(vector).flatten().tolist())
    return {name: channels for name, channels in zeros.items() if channels}


def thin(model: nn.Module, layers: Iterable[str], zeros: Channels, example: Tensor) -> nn.Module:
    """Remove the zero channels of some layers, and everything that only they feed.

    Channels of layers that feed one addition are tied: one goes only if it is zero in all of them.

    Args:
        model: Changed; in eval mode afterwards.
        layers: Paths of the layers to thin.
        zeros: The zero channels of these and of all other layers.
        example: One input batch.
    """
    trainable = {name: p.requires_grad for name, p in model.named_parameters()}
    model.requires_grad_(True)  # the graph is read off autograd's
    traced = graph.trace(model, example)
    left = {model.get_submodule(name): set(channels) for name, channels in zeros.items()}
    for name in layers:
        _remove(traced, model.get_submodule(name), left)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable.get(name, True))
    return model


def unfelt(
    model: nn.Module, zeros: Channels, example: Tensor, correct: Callable[[nn.Module], bool]
) -> list[str]:
    """Return the layers that could each be thinned without changing the outputs.

    Found without thinning: the weights that would read the missing channels are set to zero
    instead, which takes one forward pass a layer rather than a new graph.

    Args:
        model: Changed and not to be used any more.
        zeros: The zero channels of each layer.
        example: One input batch.
        correct: Whether a model's outputs are as they were.
    """
    model.requires_grad_(True)
    traced = graph.trace(model, example)
    left = {model.get_submodule(name): set(channels) for name, channels in zeros.items()}
    found = []
    for name in zeros:
        layer = model.get_submodule(name)
        group = _removable(traced, layer, left) if layer in traced.module2node else None
        reading = [] if group is None else graph.readers(traced, group)
        before = [
            (reader.weight.detach(), reader.weight.detach().clone()) for reader, *_ in reading
        ]
        for reader, dim, idxs, _ in reading:
            weight = reader.weight.detach()
            weight.index_fill_(dim, torch.tensor(idxs, device=weight.device), 0)
        if correct(model):
            found.append(name)
        for weight, values in before:
            weight.copy_(values)
    return found


def _remove(traced: Any, layer: nn.Module, left: dict[nn.Module, set[int]]) -> None:
    """Remove a layer's zero channels, as far as everything tied to them is zero too.

    Args:
        traced: The dependency graph.
        layer: A linear or convolutional layer.
        left: Zero channels of every layer, numbered as the layers now are; kept up to date.
    """
    if layer not in traced.module2node or not left[layer]:
        return
    group = _removable(traced, layer, left)
    if group is None or not traced.check_pruning_group(group):
        return
    removed = {module: set(idxs) for module, idxs, _ in graph.sources(traced, group)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group.prune(record_history=False)
    for module, gone in removed.items():
        if module in left:
            left[module] = {c - sum(g < c for g in gone) for c in left[module] - gone}


def _removable(traced: Any, layer: nn.Module, left: Mapping[nn.Module, set[int]]) -> Any | None:
    """Return the group of all slices to remove with the layer's zero channels, if any can go."""
    channels = left[layer]
    while channels:
        group = graph.outputs_group(traced, layer, sorted(channels))
        if any(graph.is_grouped(item.dep.target.module) for item in group):
            return None
        tied = {
            root
            for module, idxs, roots in graph.sources(traced, group)
            for idx, root in zip(idxs, roots, strict=True)
            if idx not in left.get(module, ())
        }
        if not tied:
            return group
        if not tied & channels:  # an index that cannot be followed back
            return None
        channels = channels - tied
    return None

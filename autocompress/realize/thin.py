"""Structured pruning made real: channels that are zero are taken out of the model.

Which parameters lose which slices when a channel goes follows from the model's graph, traced by
torch-pruning (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from autocompress.compression import Code
from autocompress.compression.structure import StructureCode
from autocompress.plan import Plan
from autocompress.realize.edit import owner

# modules whose outputs are not a function of the same channel of their inputs, or are so by weights
_SOURCES = (_ConvNd, nn.Linear, nn.Embedding, nn.MultiheadAttention)

Channels = Mapping[str, frozenset[int]]
"""For each layer, by path, its output channels that are zero."""


def zero_channels(model: nn.Module, plan: Plan, codes: Mapping[str, Code]) -> Channels:
    """Return the pruned output channels of every layer in a structured task."""
    zeros: dict[str, frozenset[int]] = {}
    for task in plan.tasks:
        code = codes[task.name]
        if not isinstance(code, StructureCode):
            continue
        parts = zip(task.params, code.shapes, code.channels(), strict=True)
        for parameter, shape, kept in parts:
            if len(shape) >= 2:
                name, _ = owner(model, parameter)
                zeros[name] = frozenset(range(shape[0])) - frozenset(kept.tolist())
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
    graph = _trace(model, example)
    left = {model.get_submodule(name): set(channels) for name, channels in zeros.items()}
    for name in layers:
        _remove(graph, model.get_submodule(name), left)
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
    graph = _trace(model, example)
    left = {model.get_submodule(name): set(channels) for name, channels in zeros.items()}
    found = []
    for name in zeros:
        layer = model.get_submodule(name)
        group = _removable(graph, layer, left) if layer in graph.module2node else None
        reading = [] if group is None else _readers(graph, group)
        before = [(weight, weight.clone()) for weight, _, _ in reading]
        for weight, dim, idxs in reading:
            weight.index_fill_(dim, torch.tensor(idxs, device=weight.device), 0)
        if correct(model):
            found.append(name)
        for weight, values in before:
            weight.copy_(values)
    return found


def _trace(model: nn.Module, example: Tensor) -> Any:
    """Return torch-pruning's dependency graph of a model."""
    import torch_pruning

    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # a tuple: a bare tensor would first be unpacked along its batch dimension
        inputs = (example[:1].detach().clone(),)
        return torch_pruning.DependencyGraph().build_dependency(model, inputs, verbose=False)


def _remove(graph: Any, layer: nn.Module, left: dict[nn.Module, set[int]]) -> None:
    """Remove a layer's zero channels, as far as everything tied to them is zero too.

    Args:
        graph: The dependency graph.
        layer: A linear or convolutional layer.
        left: Zero channels of every layer, numbered as the layers now are; kept up to date.
    """
    if layer not in graph.module2node or not left[layer]:
        return
    group = _removable(graph, layer, left)
    if group is None or not graph.check_pruning_group(group):
        return
    removed = {module: set(idxs) for module, idxs, _ in _sources(graph, group)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group.prune(record_history=False)
    for module, gone in removed.items():
        if module in left:
            left[module] = {c - sum(g < c for g in gone) for c in left[module] - gone}


def _removable(graph: Any, layer: nn.Module, left: Mapping[nn.Module, set[int]]) -> Any | None:
    """Return the group of all slices to remove with the layer's zero channels, if any can go."""
    prune_out = graph.get_pruner_of_module(layer).prune_out_channels
    channels = left[layer]
    while channels:
        group = graph.get_pruning_group(layer, prune_out, sorted(channels))
        if any(_grouped(item.dep.target.module) for item in group):
            return None
        tied = {
            root
            for module, idxs, roots in _sources(graph, group)
            for idx, root in zip(idxs, roots, strict=True)
            if idx not in left.get(module, ())
        }
        if not tied:
            return group
        if not tied & channels:  # an index that cannot be followed back
            return None
        channels = channels - tied
    return None


def _sources(graph: Any, group: Any) -> list[tuple[nn.Module, list[int], list[int]]]:
    """Return each layer that loses outputs: itself, which ones, and the root channels they are."""
    return [
        (item.dep.target.module, item.idxs, item.root_idxs)
        for item in group
        if isinstance(item.dep.target.module, _SOURCES)
        and graph.is_out_channel_pruning_fn(item.dep.handler)
    ]


def _readers(graph: Any, group: Any) -> list[tuple[Tensor, int, list[int]]]:
    """Return each weight that loses inputs: itself, along which dimension, and which ones."""
    found = []
    for item in group:
        module, handler = item.dep.target.module, item.dep.handler
        if isinstance(module, (_ConvNd, nn.Linear)) and not graph.is_out_channel_pruning_fn(
            handler
        ):
            dim = 0 if getattr(module, "transposed", False) else 1
            found.append((module.weight.detach(), dim, list(item.idxs)))
    return found


def _grouped(module: nn.Module) -> bool:
    """Whether a convolution has groups and is not depthwise: those cannot lose any channel."""
    if not isinstance(module, _ConvNd) or module.groups == 1:
        return False
    return not module.groups == module.in_channels == module.out_channels

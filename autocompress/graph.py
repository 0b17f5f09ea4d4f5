"""The model's dependency graph: which channels of which layers belong together.

Traced by torch-pruning (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

# modules whose outputs are not a function of the same channel of their inputs, or are so by weights
SOURCES = (_ConvNd, nn.Linear, nn.Embedding, nn.MultiheadAttention)


def trace(model: nn.Module, example: Tensor) -> Any:
    """Return torch-pruning's dependency graph of a model.

    Args:
        model: In eval mode; all its parameters must require gradients, off which the graph is read.
        example: One input batch; its first sample is used.
    """
    import torch_pruning

    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # a tuple: a bare tensor would first be unpacked along its batch dimension
        inputs = (example[:1].detach().clone(),)
        return torch_pruning.DependencyGraph().build_dependency(model, inputs, verbose=False)


def outputs_group(graph: Any, layer: nn.Module, channels: list[int]) -> Any:
    """Return the group of all slices that go when a layer loses these output channels."""
    prune = graph.get_pruner_of_module(layer).prune_out_channels
    return graph.get_pruning_group(layer, prune, channels)


def sources(
    graph: Any, group: Any, kinds: tuple[type[nn.Module], ...] = SOURCES
) -> list[tuple[nn.Module, list[int], list[int]]]:
    """Return each layer that loses outputs: itself, which ones, and the root channels they are."""
    return [
        (item.dep.target.module, item.idxs, item.root_idxs)
        for item in group
        if isinstance(item.dep.target.module, kinds)
        and graph.is_out_channel_pruning_fn(item.dep.handler)
    ]


def readers(graph: Any, group: Any) -> list[tuple[_ConvNd | nn.Linear, int, list[int], list[int]]]:
    """Return each layer that loses inputs.

    Returns:
        The layer, the dimension of its weight, which inputs, and the root channels they are.
    """
    found = []
    for item in group:
        module, handler = item.dep.target.module, item.dep.handler
        if isinstance(module, (_ConvNd, nn.Linear)) and not graph.is_out_channel_pruning_fn(
            handler
        ):
            dim = 0 if getattr(module, "transposed", False) else 1
            found.append((module, dim, list(item.idxs), list(item.root_idxs)))
    return found


def is_grouped(module: nn.Module) -> bool:
    """Whether a convolution has groups and is not depthwise: those cannot lose any channel."""
    if not isinstance(module, _ConvNd) or module.groups == 1:
        return False
    return not module.groups == module.in_channels == module.out_channels

"""Channels that nothing reads: what pruning the inputs of layers leaves to remove."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.compression import Code
from autocompress.compression.structured.structure import StructureCode
from autocompress.layers import find_layers


def unread_channels(
    model: nn.Module, codes: Mapping[str, Code], example: Tensor
) -> dict[str, frozenset[int]]:
    """Return for each layer, by path, the outputs that every layer after it has zero weights for.

    Looked for only where a code prunes input channels, and after layers that are read by linear
    and convolutional layers alone as far as the graph tells. At least one channel counts as read.

    Args:
        model: The model with decoded weights. Not changed.
        codes: The code of each task.
        example: One input batch.
    """
    if not any(isinstance(code, StructureCode) and code.axis == 1 for code in codes.values()):
        return {}
    twin = copy.deepcopy(model).requires_grad_(True)
    names = {twin.get_submodule(layer.name): layer.name for layer in find_layers(twin)}
    found: dict[str, set[int]] = {}
    try:
        traced = graph.trace(twin, example)
        for module in names:
            if module in traced.module2node:
                for source, channels in _unread(traced, module):
                    if source in names:
                        found.setdefault(names[source], set()).update(channels)
    except Exception:  # torch-pruning gives up on a graph in many ways
        return {}
    return {name: frozenset(channels) for name, channels in found.items() if channels}


def _unread(traced: Any, module: nn.Module) -> list[tuple[nn.Module, set[int]]]:
    """Return the layers tied to a layer, itself among them, and their unread channels."""
    width = int(module.get_parameter("weight").shape[0])
    group = graph.outputs_group(traced, module, list(range(width)))
    reading = graph.readers(traced, group)
    if not reading or any(graph.is_grouped(item.dep.target.module) for item in group):
        return []
    read: set[int] = set()
    for reader, dim, idxs, roots in reading:
        weight = reader.weight.detach().transpose(0, dim).flatten(1)
        used = torch.count_nonzero(weight, 1).tolist()
        read |= {root for idx, root in zip(idxs, roots, strict=True) if used[idx]}
    unread = set(range(width)) - (read or {0})
    return [
        (source, {idx for idx, root in zip(idxs, roots, strict=True) if root in unread})
        for source, idxs, roots in graph.sources(traced, group)
    ]

"""What leaves a model together with an output channel of one of its layers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.layers import find_layers

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Channels:
    """What goes with an output channel of a layer.

    Attributes:
        tied: Weights of all the layers that lose it, itself among them.
        readers: Inputs that layers lose for each channel, by the name of their weight.
        vectors: Elements of biases and normalizations that go with it.
    """

    tied: frozenset[str]
    readers: Mapping[str, int]
    vectors: int


def find_channels(model: nn.Module, example: Tensor) -> dict[str, Channels]:
    """Return what goes with the output channels of layers, by the name of their weight.

    Layers are left out of which it is not known: grouped ones, and those tied to or read by
    something other than a layer.
    """
    with torch.inference_mode(False):
        twin = copy.deepcopy(model).eval().requires_grad_(True)
        traced = graph.trace(twin, example)
        names = {twin.get_submodule(layer.name): layer.weight for layer in find_layers(twin)}
        found = {}
        for module, name in names.items():
            if module not in traced.module2node:
                continue
            group = graph.outputs_group(traced, module, [0])
            if any(graph.is_grouped(item.dep.target.module) for item in group):
                continue
            sources = [source for source, _, _ in graph.sources(traced, group)]
            reading = graph.readers(traced, group)
            if not all(m in names for m in (*sources, *(r[0] for r in reading))):
                continue
            readers: dict[str, int] = {}
            for reader, _, idxs, _ in reading:
                readers[names[reader]] = readers.get(names[reader], 0) + len(idxs)
            tied = frozenset(names[source] for source in sources)
            found[name] = Channels(tied, readers, _vectors(sources, group))
    return found


def _vectors(sources: Iterable[nn.Module], group: Iterable[Any]) -> int:
    """Return how many elements of vectors go with a channel: biases, batch norms."""
    norms = {m for item in group if isinstance(m := item.dep.target.module, _NORMS)}
    modules = {*sources, *norms}
    return sum(p.dim() == 1 for m in modules for p in m.parameters(recurse=False))

"""What compression schemes need to know of a model besides its weights."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.compression.base import Facts
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating
from autocompress.layers import call_shapes, find_layers


def find_facts(model: nn.Module, example: Tensor, needs: Collection[str]) -> dict[str, Facts]:
    """Return the facts of the parameters of linear and convolutional layers.

    Args:
        model: The model; run once on the example, in evaluation mode, and left as it was.
        example: An input batch; its first sample is used.
        needs: Which facts: ``"spatial"``, ``"tie"``. Nothing is tied in a model whose graph cannot
            be traced: its channels are pruned all the same, but not removed.

    Raises:
        ModelError: the model cannot run on the example.
    """
    spatial = _spatial(model, example) if needs else {}
    ties = _ties(model, example) if "tie" in needs else {}
    facts = {}
    for layer in find_layers(model):
        inputs, outputs = spatial.get(layer.name, ((), ()))
        tie, tied = ties.get(layer.name, (None, 0))
        groups = int(getattr(model.get_submodule(layer.name), "groups", 1))
        facts[layer.weight] = Facts(inputs, outputs, tie, tied, groups)
    return facts


def _ties(model: nn.Module, example: Tensor) -> dict[str, tuple[int, int]]:
    """Return number and size of the tie of each layer that has one, see :class:`Facts`."""
    with torch.inference_mode(False):
        twin = copy.deepcopy(model).eval().requires_grad_(True)
        try:
            traced = graph.trace(twin, example)
        except Exception:  # in many ways
            return {}
        layers = {twin.get_submodule(layer.name): layer.name for layer in find_layers(twin)}
        ties: dict[str, tuple[int, int]] = {}
        for module, name in layers.items():
            if name in ties or module not in traced.module2node:
                continue
            equals, others = _meeting(traced, module)
            members = [layers[m] for m in equals if m in layers and layers[m] not in ties]
            size = len(equals) + others
            if size > 1:
                ties |= dict.fromkeys(members, (len(ties), size))
    return ties


def _meeting(traced: Any, module: nn.Module) -> tuple[set[nn.Module], int]:
    """Return the layers whose channels meet a layer's own, and how many do so irregularly.

    Irregularly: under other indices (part of a concatenation), or in a convolution with groups.
    """
    width = _width(module)
    try:
        group = graph.outputs_group(traced, module, list(range(width)))
    except Exception:  # as above
        return {module}, 0
    equals: set[nn.Module] = set()
    others: set[nn.Module] = set()
    for other, idxs, roots in graph.sources(traced, group):
        regular = list(idxs) == list(roots) == list(range(width)) and _width(other) == width
        (equals if regular and not graph.is_grouped(other) else others).add(other)
    if graph.is_grouped(module):
        return {module}, len((equals | others) - {module}) + 1
    return (equals - others) | {module}, len(others - {module})


def _width(module: nn.Module) -> int:
    """Return the number of a layer's output channels."""
    weight = getattr(module, "weight", None)
    return int(weight.shape[0]) if isinstance(weight, Tensor) else 0


def _spatial(
    model: nn.Module, example: Tensor
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the spatial shapes of input and output of each layer, at its first call.

    Of a linear layer these are the dimensions between batch and features, such as positions in a
    sequence.
    """
    layers = {layer: model.get_submodule(layer.name) for layer in find_layers(model)}
    try:
        with evaluating(model):
            seen = call_shapes(model, example, list(layers.values()))
    except Exception as error:
        raise ModelError(f"the model cannot run on its example input: {error}") from error
    found = {}
    for layer, module in layers.items():
        if module in seen:
            inputs, outputs = (s[1:-1] if layer.kind == "linear" else s[2:] for s in seen[module])
            found[layer.name] = (inputs, outputs)
    return found

"""What compression schemes need to know of a model besides its weights."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from autocompress.compression.base import Facts
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating
from autocompress.layers import find_layers


def find_facts(model: nn.Module, example: Tensor, needs: Collection[str]) -> dict[str, Facts]:
    """Return the facts of the parameters of linear and convolutional layers.

    Args:
        model: The model; run once on the example, in evaluation mode, and left as it was.
        example: An input batch; its first sample is used.
        needs: Which facts: ``"spatial"``, ``"tie"``.

    Raises:
        ModelError: the model cannot run on the example.
    """
    spatial = _spatial(model, example) if "spatial" in needs else {}
    facts = {}
    for layer in find_layers(model):
        inputs, outputs = spatial.get(layer.name, ((), ()))
        facts[layer.weight] = Facts(inputs=inputs, outputs=outputs)
    return facts


def _spatial(
    model: nn.Module, example: Tensor
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the spatial shapes of input and output of each layer, at its first call.

    Of a linear layer these are the dimensions between batch and features, such as positions in a
    sequence.
    """
    seen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    hooks = []
    for layer in find_layers(model):
        module = model.get_submodule(layer.name)
        linear = layer.kind == "linear"

        def record(
            module: nn.Module,
            inputs: tuple[Tensor, ...],
            output: Tensor,
            name: str = layer.name,
            linear: bool = linear,
        ) -> None:
            del module
            parts = [tuple(t.shape[1:-1] if linear else t.shape[2:]) for t in (inputs[0], output)]
            seen.setdefault(name, (parts[0], parts[1]))

        hooks.append(module.register_forward_hook(record))
    try:
        with evaluating(model), torch.no_grad():
            model(example[:1])
    except Exception as error:
        raise ModelError(f"the model cannot run on its example input: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return seen

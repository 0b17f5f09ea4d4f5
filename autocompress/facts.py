"""What compression schemes need to know of a model besides its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from autocompress.compression.base import Facts
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating
from autocompress.layers import call_shapes, find_layers
from autocompress.ties import find_spans


def find_facts(model: nn.Module, example: Tensor, needs: Collection[str]) -> dict[str, Facts]:
    """Return the facts of the weights of linear and convolutional layers, and of joint batch norms.

    Args:
        model: The model; run once on the example, in evaluation mode, and left as it was.
        example: An input batch; its first sample is used.
        needs: Which facts: ``"spatial"``, ``"tie"``. Nothing is tied in a model whose graph cannot
            be traced: its channels are pruned all the same, but not removed.

    Raises:
        ModelError: the model cannot run on the example.
    """
    spatial = _spatial(model, example) if needs else {}
    ties = find_spans(model, example) if "tie" in needs else {}
    facts = {}
    for layer in find_layers(model):
        inputs, outputs = spatial.get(layer.name, ((), ()))
        groups = int(getattr(model.get_submodule(layer.name), "groups", 1))
        facts[layer.weight] = Facts(inputs, outputs, ties.pop(layer.weight, ()), groups=groups)
    return facts | {name: Facts(ties=spans, joint=True) for name, spans in ties.items()}


def joint_params(names: Sequence[str], facts: Mapping[str, Facts]) -> tuple[str, ...]:
    """Return the vectors of joint batch norms over channels of some of these weights."""
    ties = {span.tie for name in names if name in facts for span in facts[name].ties}
    return tuple(
        name
        for name, fact in facts.items()
        if fact.joint and any(span.tie in ties for span in fact.ties)
    )


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

"""Which of a model's parameters names and patterns select."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from torch import nn

from autocompress.errors import PlanError, unknown
from autocompress.layers import LayerInfo, find_layers


def match(patterns: Iterable[str], model: nn.Module, who: str) -> tuple[str, ...]:
    """Return the parameters that names and patterns select, in the model's order.

    Args:
        patterns: By the rules of :class:`~autocompress.plan.Task`.
        model: The model.
        who: Whose patterns these are, for error messages.

    Raises:
        PlanError, UnknownName: a name or pattern without a parameter, or none is left.
    """
    params = dict(model.named_parameters())
    layers = find_layers(model)
    matchable = {layer.weight for layer in layers} | {
        layer.bias for layer in layers if layer.bias is not None
    }
    chosen: set[str] = set()
    for pattern in patterns:
        negative, text = pattern.startswith("!"), pattern.removeprefix("!")
        exact = text in params
        found = {text} if exact else set(fnmatch.filter(matchable, text))
        if not found:
            if any(char in text for char in "*?["):
                available = ", ".join(sorted(matchable)) or "none"
                raise PlanError(
                    f"{who}: pattern {pattern!r} matches no layer's parameter; "
                    f"the model's are {available}"
                )
            raise unknown("parameter", text, params, where=who)
        chosen = chosen - found if negative else chosen | found
    if not chosen:
        raise PlanError(f"{who}: {', '.join(patterns)} leaves no parameter")
    return tuple(name for name in params if name in chosen)


def with_channel_params(
    names: Iterable[str], layers: Sequence[LayerInfo], who: str
) -> tuple[str, ...]:
    """Put each weight's tied vectors right after it; refuse the model's output layer.

    Args:
        names: Exact parameter names.
        layers: All of the model's.
        who: Whose parameters these are, for error messages.

    Raises:
        PlanError: a parameter that is no layer's weight and tied to none, or the output layer's.
    """
    by_weight = {layer.weight: layer for layer in layers}
    result: list[str] = []
    for name in names:
        layer = by_weight.get(name)
        if layer is None:
            if any(name in other.channel_params for other in layers):
                continue  # comes along with its weight
            raise PlanError(f"{who}: {name!r} is not the weight of a layer")
        if layer.index == len(layers) - 1:
            raise PlanError(
                f"{who} would prune the outputs of {layer.name!r}, the model's last "
                f"layer: leave it out with the pattern '!{layer.weight}'"
            )
        result += [name, *layer.channel_params]
    return tuple(result)

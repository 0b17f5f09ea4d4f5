"""The compressible layers of a model, and which of their parameters belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
COMPRESSIBLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class LayerInfo:
    """A linear or convolutional layer.

    Attributes:
        name: Its module path, ``"conv1"``; empty where the model itself is the layer.
        kind: ``"linear"`` or ``"conv"``.
        index: Its position among the compressible layers, in the order the model defines them.
        shape: Shape of its weight.
        weight: Parameter name of its weight.
        channel_params: Parameter names of the vectors tied to its output channels: its bias, then
            scale and shift of a batch norm defined right after it.
    """

    name: str
    kind: str
    index: int
    shape: tuple[int, ...]
    weight: str
    channel_params: tuple[str, ...]

    @property
    def bias(self) -> str | None:
        """Parameter name of the layer's own bias."""
        own = self.weight.removesuffix("weight") + "bias"
        return own if own in self.channel_params else None


def find_layers(model: nn.Module) -> tuple[LayerInfo, ...]:
    """Return the model's linear and convolutional layers, in definition order.

    A batch norm belongs to the convolution or linear layer defined just before it when it has as
    many channels, which is how every model in torchvision is written. Parameters shared between
    modules are reported once, under their first name.
    """
    known = {name for name, _ in model.named_parameters()}
    modules = list(model.named_modules())
    layers: list[LayerInfo] = []
    for position, (name, module) in enumerate(modules):
        weight = f"{name}.weight" if name else "weight"
        if not isinstance(module, COMPRESSIBLE) or weight not in known:
            continue
        tied = [f"{name}.bias" if name else "bias"]
        follower = modules[position + 1] if position + 1 < len(modules) else None
        if follower and isinstance(follower[1], NORMS):
            norm = follower[1]
            if norm.num_features == module.weight.shape[0]:
                tied += [f"{follower[0]}.weight", f"{follower[0]}.bias"]
        layers.append(
            LayerInfo(
                name=name,
                kind="linear" if isinstance(module, nn.Linear) else "conv",
                index=len(layers),
                shape=tuple(module.weight.shape),
                weight=weight,
                channel_params=tuple(p for p in tied if p in known),
            )
        )
    return tuple(layers)


def call_shapes(
    model: nn.Module, example: Tensor, layers: Sequence[nn.Module]
) -> dict[nn.Module, tuple[Shape, Shape]]:
    """Return input and output shape of each layer's first call; layers not called are absent."""
    seen: dict[nn.Module, tuple[Shape, Shape]] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.setdefault(layer, (tuple(inputs[0].shape), tuple(output.shape)))

    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        with torch.no_grad():
            model(example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return seen

"""Second moments of layers' inputs: of each feature, or of all pairs of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from autocompress.calibration.patches import Layer, groups_of, unfold
from autocompress.calibration.probe import watching
from autocompress.evaluation import evaluating

MAX_WIDTH = 8192
"""Inputs (in · kernel) of a layer up to which its covariance is collected: 256 MiB each."""

_CHUNK = 1 << 24  # elements of patches copied at a time: 64 MiB of float32


class _Sum(ABC):
    """The sum of a statistic over rows (samples and positions), added up in double precision."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.rows = 0
        self.total: Tensor | None = None

    def add(self, x: Tensor) -> None:
        """Add the inputs of one call."""
        patches = unfold(self.layer, self.prepared(x))
        kernel = self.layer.weight.dim() - 1
        self.rows += patches.shape[: patches.dim() - kernel].numel()
        part = self.part(patches, kernel)
        self.total = part if self.total is None else self.total.add_(part)

    def prepared(self, x: Tensor) -> Tensor:
        """Return what is unfolded of the inputs."""
        return x

    @abstractmethod
    def part(self, patches: Tensor, kernel: int) -> Tensor:
        """Return the sum over the rows of ``patches``, whose last dimensions make up a column."""

    def mean(self) -> Tensor | None:
        """Return the mean, float32 or float64 on the CPU; None without rows."""
        return None if self.total is None else (self.total / self.rows).cpu()


class _Squares(_Sum):
    """Σ x²: ``(groups, in/groups, *kernel)``, or ``(1, in)``; float64."""

    def prepared(self, x: Tensor) -> Tensor:
        return x.to(torch.float64).square()  # once an element, not once a patch

    def part(self, patches: Tensor, kernel: int) -> Tensor:
        sums = patches.sum(tuple(range(patches.dim() - kernel)))
        return sums.reshape(groups_of(self.layer), -1, *self.layer.weight.shape[2:])


class _Products(_Sum):
    """Σ x xᵀ: ``(width, width)``. Products in the inputs' precision, sums in float64."""

    def part(self, patches: Tensor, kernel: int) -> Tensor:
        width = self.layer.weight[0].numel()
        total = torch.zeros(width, width, dtype=torch.float64, device=patches.device)
        rows = patches.shape[1 : patches.dim() - kernel].numel()
        for chunk in patches.split(max(1, _CHUNK // (rows * width))):
            for part in chunk.reshape(-1, width).split(max(1, _CHUNK // width)):
                total += part.T @ part
        return total

    def mean(self) -> Tensor | None:
        mean = super().mean()
        return None if mean is None else mean.to(torch.float32)


def activations(
    model: nn.Module, layers: Mapping[str, Layer], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Mean square of each input feature, E[x_j²], over samples and positions.

    Args:
        model: The model; run in evaluation mode and left as it was.
        layers: Layers by name.
        batches: Inputs of the model.

    Returns:
        For each layer, float64 on the CPU: ``(1, in)``, or ``(groups, in/groups, *kernel)`` with
        the mean over all positions of the input under that tap (zero padding counts as 0).
    """
    return _collect(model, {name: _Squares(layer) for name, layer in layers.items()}, batches)


def covariance(
    model: nn.Module, layers: Mapping[str, Layer], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Second moment of each layer's inputs, E[x xᵀ], over samples and positions (not centred).

    Args:
        model: The model; run in evaluation mode and left as it was.
        layers: Layers by name; without groups, at most ``MAX_WIDTH`` wide.
        batches: Inputs of the model.

    Returns:
        For each layer ``(in · kernel, in · kernel)``, float32 on the CPU, rows in the order of
        ``weight.flatten(1)``.
    """
    return _collect(model, {name: _Products(layer) for name, layer in layers.items()}, batches)


def covariance_problem(layer: Layer) -> str:
    """Say why a layer's covariance cannot be collected; empty if it can."""
    width = layer.weight[0].numel()
    if groups_of(layer) > 1:
        return (
            f"it is a convolution of {groups_of(layer)} groups, whose outputs do not see the same "
            "inputs, so that there is no one covariance"
        )
    if width > MAX_WIDTH:
        return (
            f"its {width} inputs would need {width * width * 4 / 2**30:.1f} GiB; the limit is "
            f"{MAX_WIDTH} inputs"
        )
    return ""


def _collect(
    model: nn.Module, sums: Mapping[str, _Sum], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    def note(name: str, module: nn.Module, x: Tensor) -> None:
        del module
        sums[name].add(x)

    layers = {name: cast(nn.Module, total.layer) for name, total in sums.items()}
    with watching(layers, note), evaluating(model):
        for x in batches:
            model(x)
    means = {name: total.mean() for name, total in sums.items()}
    return {name: mean for name, mean in means.items() if mean is not None}

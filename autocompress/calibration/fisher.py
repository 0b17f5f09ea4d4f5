"""The diagonal empirical Fisher information: the mean squared gradient of each weight.

``F_i = 1/N Σ_n (∂ℓ_n/∂w_i)²`` over single examples n with their true labels, in evaluation mode;
not the square of a batch's mean gradient, which is smaller by up to the batch size. Forward and
backward passes are made in batches. A layer's gradient for example n is ``G_n X_nᵀ`` summed over
positions, of the gradient G_n at its outputs and its inputs X_n; where there is one position, the
sum of squares over the batch is ``(G²)ᵀ X²`` without any of them being formed. Parameters for
which that does not hold (shared weights, layers called several times, anything but linear,
convolutional and batch-norm layers) take one backward pass per example: slower, and as exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autocompress.calibration.patches import (
    Layer,
    by_group,
    first_input,
    groups_of,
    outputs_by_group,
    unfold,
)
from autocompress.calibration.probe import Uses, separable
from autocompress.errors import ModelError
from autocompress.evaluation import Loss, evaluating
from autocompress.layers import COMPRESSIBLE

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
Squares: TypeAlias = dict[str, Tensor]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CHUNK = 1 << 23  # elements of per-example gradients or patches held at a time: 32 MiB


def batched(model: nn.Module, uses: Uses) -> dict[str, nn.Module]:
    """Return the layers whose per-example gradients can be had from a batch, by name."""
    if not separable(model):
        return {}
    names = {name for name, owners in uses.modules.items() if len(owners) == 1}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, COMPRESSIBLE + _NORMS)
        and uses.calls.get(name) == 1
        and name in uses.whole
        and all(_join(name, own) in names for own in _own(module))
    }


def from_batches(
    model: nn.Module, layers: Mapping[str, nn.Module], batches: Batches, loss: Loss
) -> Squares:
    """Return the Fisher information of all parameters of ``layers`` (see :func:`batched`).

    Raises:
        ModelError: the loss has no gradient, or a layer is called differently from batch to batch.
    """
    sums: Squares = {}
    seen: Counter[str] = Counter()
    samples = 0
    hooks = [
        module.register_forward_hook(_watch(name, sums, seen), with_kwargs=True)
        for name, module in layers.items()
    ]
    try:
        with evaluating(model), torch.enable_grad():
            for x, y in batches:
                # a gradient asked for at the inputs passes all layers, and needs no weight's
                x = x.detach().requires_grad_()
                total = loss(model(x.clone()), y) * len(y)  # a leaf must not be overwritten
                if not total.requires_grad:
                    raise ModelError("the model's loss has no gradient: no Fisher information")
                torch.autograd.grad(total, x, allow_unused=True)
                samples += len(y)
    finally:
        for hook in hooks:
            hook.remove()
    uneven = [name for name, count in seen.items() if count != samples]
    if uneven:
        raise ModelError(
            f"layer {uneven[0]!r} saw {seen[uneven[0]]} examples of {samples}: a layer that is not "
            "called once for each has no Fisher information"
        )
    return {name: (total / samples).cpu() for name, total in sums.items()}


def one_by_one(model: nn.Module, names: Iterable[str], batches: Batches, loss: Loss) -> Squares:
    """Return the Fisher information of any parameters: one backward pass per example."""
    known = dict(model.named_parameters())
    params = {name: known[name].detach().requires_grad_() for name in names}
    sums: Squares = {}
    samples = 0
    with evaluating(model), torch.enable_grad():
        for inputs, labels in batches:
            for x, y in zip(inputs.split(1), labels.split(1), strict=True):
                total = loss(functional_call(model, params, (x,)), y)
                found = torch.autograd.grad(total, list(params.values()), allow_unused=True)
                samples += 1
                for name, gradient in zip(params, found, strict=True):
                    if gradient is not None:
                        _add(sums, name, gradient.square())
    return {name: (total / samples).cpu() for name, total in sums.items()}


def _watch(name: str, sums: Squares, seen: Counter[str]) -> Callable[..., None]:
    """Return a forward hook that adds a layer's squared gradients up in the backward pass."""

    def forward(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> None:
        if not output.requires_grad:
            return
        x = first_input(args, kwargs).detach()
        if any(not p.requires_grad for p in _own(module).values()):
            x = x.clone()  # autograd does not guard what it does not need from being overwritten

        def backward(gradient: Tensor) -> None:
            seen[name] += len(gradient)
            find = _of_norm if isinstance(module, _NORMS) else _of_layer
            for own, squares in find(module, x, gradient.detach()):
                _add(sums, _join(name, own), squares)

        output.register_hook(backward)

    return forward


def _of_layer(module: nn.Module, x: Tensor, gradient: Tensor) -> list[tuple[str, Tensor]]:
    layer = cast(Layer, module)
    shape, groups = layer.weight.shape, groups_of(layer)
    positions = max(1, gradient[0].numel() // shape[0])
    size = shape.numel() if positions > 1 else 0  # of one example's gradient, where formed
    patches = positions * shape[1:].numel() * groups
    weight = torch.zeros(groups, shape[0] // groups, shape[1:].numel(), dtype=torch.float64)
    weight, bias = weight.to(x.device), torch.zeros(shape[0], dtype=torch.float64, device=x.device)
    step = max(1, _CHUNK // (size + patches))
    for inputs, g in zip(x.split(step), gradient.split(step), strict=True):
        rows, outs = by_group(layer, unfold(layer, inputs)), outputs_by_group(layer, g)
        if positions > 1:
            weight += (outs @ rows.transpose(2, 3)).square_().sum(0)
        else:
            weight += torch.einsum("ngo,ngi->goi", outs[..., 0].square(), rows[..., 0].square())
        bias += outs.sum(3).square_().sum(0).reshape(-1)
    found = [("weight", weight.reshape(shape))]
    return found if layer.bias is None else [*found, ("bias", bias)]


def _of_norm(module: nn.Module, x: Tensor, gradient: Tensor) -> list[tuple[str, Tensor]]:
    norm = cast(nn.BatchNorm2d, module)
    if norm.weight is None:
        return []
    assert norm.running_mean is not None
    assert norm.running_var is not None
    view = (1, -1, *[1] * (x.dim() - 2))
    scale = (norm.running_var + norm.eps).rsqrt().view(view)
    standard = (x - norm.running_mean.view(view)) * scale
    sums = (
        part.flatten(2).sum(2) if part.dim() > 2 else part
        for part in (gradient * standard, gradient)
    )
    return [
        (own, part.square().to(torch.float64).sum(0))
        for own, part in zip(("weight", "bias"), sums, strict=True)
    ]


def _own(module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters(recurse=False))


def _join(module: str, own: str) -> str:
    return f"{module}.{own}" if module else own


def _add(sums: Squares, name: str, squares: Tensor) -> None:
    wide = squares.to(torch.float64)
    sums[name] = wide if name not in sums else sums[name].add_(wide)

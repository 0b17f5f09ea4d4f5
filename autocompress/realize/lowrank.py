"""Low-rank layers as two thinner layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.compression.factorized.factors import LowRankCode, Pair, from_matrix
from autocompress.layers import Shape, call_shapes
from autocompress.plan import Plan
from autocompress.realize.edit import owner, replace
from autocompress.realize.layers import CONVS, Conv, convolution, linear


@dataclass(frozen=True)
class Factors:
    """A layer whose weight is a product of two thin matrices.

    Attributes:
        name: Path of the layer.
        dense: The layer with its decoded weight; a linear one, or a convolution without groups.
        u: ``(m, r)``.
        v: ``(r, n)``.
        spatial: Whether a convolution becomes a vertical and a horizontal one; see
            :func:`autocompress.compression.factorized.factors.matrix_shape`.
    """

    name: str
    dense: nn.Linear | Conv
    u: Tensor
    v: Tensor
    spatial: bool


def find_factors(
    model: nn.Module, plan: Plan, codes: Mapping[str, Code], example: Tensor
) -> list[Factors]:
    """Return the low-rank layers that take fewer multiply-adds as two layers than as one."""
    found = []
    for task in plan.tasks:
        code = codes[task.name]
        if not isinstance(code, LowRankCode):
            continue
        for parameter, pair in zip(task.params, code.factors(), strict=True):
            name, layer = owner(model, parameter)
            # subclasses may be used in other ways than by calling them
            matrix = type(layer) in (nn.Linear, *CONVS) and parameter.endswith("weight")
            if pair is None or not matrix:
                continue
            assert isinstance(layer, (nn.Linear, *CONVS))
            if isinstance(layer, nn.Linear) or layer.groups == 1:
                spatial = code.conv == "spatial" and isinstance(layer, nn.Conv2d)
                found.append(Factors(name, layer, *_alive(pair), spatial))
    shapes = call_shapes(model, example, [f.dense for f in found])
    return [f for f in found if f.dense in shapes and _cheaper(split(f), f, shapes[f.dense])]


def _alive(pair: Pair) -> Pair:
    """Return factors of rank 1 in place of rank 0: there are no layers without channels."""
    u, v = pair
    return pair if u.shape[1] else (u.new_zeros(u.shape[0], 1), v.new_zeros(1, v.shape[1]))


def factorize(model: nn.Module, factors: Iterable[Factors]) -> nn.Module:
    """Put two layers in place of each of these; changes the model."""
    for f in factors:
        model = replace(model, model.get_submodule(f.name), split(f))
    return model


def split(f: Factors) -> nn.Sequential:
    """Return the two layers: the first without bias, the second with the layer's own."""
    bias, rank = f.dense.bias, f.u.shape[1]
    if isinstance(f.dense, nn.Linear):
        return nn.Sequential(linear(f.v), linear(f.u, bias))
    kernel = f.dense.kernel_size
    if not f.spatial:
        first = f.v.reshape(rank, -1, *kernel)
        second = f.u.reshape(-1, rank, *(1 for _ in kernel))
        nowhere = [False for _ in kernel]
        return nn.Sequential(
            convolution(f.dense, first), convolution(f.dense, second, bias, nowhere)
        )
    height, width = kernel
    vertical = f.v.reshape(rank, -1, height, 1)
    horizontal = f.u.reshape(-1, width, rank).transpose(1, 2).unsqueeze(2)
    return nn.Sequential(
        convolution(f.dense, vertical, axes=(True, False)),
        convolution(f.dense, horizontal, bias, axes=(False, True)),
    )


def collapse(model: nn.Module, factors: Iterable[Factors], example: Tensor) -> nn.Module:
    """Multiply out the pairs that thinning has left no cheaper than one layer.

    Args:
        model: The model, in which some of the layers are pairs; changed.
        factors: What the pairs were made from.
        example: One input batch.
    """
    pairs = [(f, model.get_submodule(f.name)) for f in factors]
    shapes = call_shapes(model, example, [pair for _, pair in pairs])
    for f, pair in pairs:
        if isinstance(pair, nn.Sequential) and not _cheaper(pair, f, shapes[pair]):
            model = replace(model, pair, _product(pair, f))
    return model


def _product(pair: nn.Sequential, f: Factors) -> nn.Linear | Conv:
    """Return one layer that does what a (thinned) pair does; the inverse of :func:`split`."""
    first, second = _layers(pair)
    v, u = first.weight.detach(), second.weight.detach()
    if isinstance(f.dense, nn.Linear):
        return linear(u @ v, second.bias)
    shape = (u.shape[0], v.shape[1], *f.dense.kernel_size)
    if f.spatial:
        u = u.squeeze(2).transpose(1, 2).reshape(-1, u.shape[1])
    matrix = u.flatten(1) @ v.flatten(1)
    weight = from_matrix(matrix, shape, "spatial" if f.spatial else "channel")
    return convolution(f.dense, weight, second.bias)


def _layers(pair: nn.Sequential) -> tuple[nn.Linear | Conv, nn.Linear | Conv]:
    first, second = pair
    assert isinstance(first, (nn.Linear, *CONVS))
    assert isinstance(second, (nn.Linear, *CONVS))
    return first, second


def _cheaper(pair: nn.Sequential, f: Factors, call: tuple[Shape, Shape]) -> bool:
    """Whether a pair takes fewer multiply-adds in the recorded call than its product would."""
    inputs, output = call
    # between the two of a spatial pair the height is already the output's, the width is not yet
    middle = (*output[:3], inputs[3]) if f.spatial else output
    first, second = (layer.weight for layer in _layers(pair))
    dense = second.shape[0] * first.shape[1] * f.dense.weight[0, 0].numel()
    both = first.numel() * _positions(f, middle) + second.numel() * _positions(f, output)
    return both < dense * _positions(f, output)


def _positions(f: Factors, output: Shape) -> int:
    """How often the layer applies its weight to give an output of this shape."""
    if isinstance(f.dense, nn.Linear):
        return math.prod(output[:-1])
    return output[0] * math.prod(output[2:])

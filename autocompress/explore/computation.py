"""Operations and parameters of a plan's realized model, told from shapes alone.

Only low rank and structured pruning change the layers there are. Low rank makes two of one where
that takes fewer multiply-adds; a pruned channel goes with what reads it. Which layers read which
channels follows once from the model's graph, and is tried out once on the model itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.compression import Compose, Compression, Dense, LowRank, StructurePrune
from autocompress.compression.base import Shapes, numel
from autocompress.compression.estimate import Known
from autocompress.compression.factorized.factors import matrix_shape
from autocompress.errors import AutocompressError
from autocompress.evaluation import evaluating
from autocompress.layers import find_layers
from autocompress.metrics.flops import count_flops, count_params
from autocompress.plan import Plan, Task
from autocompress.realize import realize
from autocompress.realize.layers import CONVS

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Kept = Mapping[str, float]
"""Channels left of layers that lose some, by the name of their weight."""


@dataclass(frozen=True)
class Site:
    """A layer at work on one sample.

    Attributes:
        shape: Shape of its weight.
        first: How often the first of two spatial factors is applied.
        second: How often its weight, or the second factor, is applied.
        plain: Whether two layers can take its place.
    """

    shape: tuple[int, ...]
    first: int
    second: int
    plain: bool

    def dense(self, out: float, inputs: float) -> tuple[float, float]:
        """Return multiply-adds and weights with so many channels left."""
        weights = out * inputs * numel(self.shape[2:])
        return weights * self.second, weights

    def pair(self, out: float, inputs: float, rank: int, conv: str) -> tuple[float, float]:
        """Return the same of two layers of that rank."""
        rows, columns = matrix_shape(self.shape, conv)
        left, right = rows / self.shape[0] * out, columns / self.shape[1] * inputs
        first = self.first if conv == "spatial" and len(self.shape) == 4 else self.second
        return rank * (right * first + left * self.second), rank * (left + right)


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


@dataclass(frozen=True)
class _Changes:
    """What a plan does to layers."""

    ranks: dict[str, tuple[int, str]] = field(default_factory=dict)
    kept: list[tuple[frozenset[str], Known]] = field(default_factory=list)


class Computation:
    """Operations and parameters of one model under different plans.

    Args:
        model: The model. Left as it is.
        example: An input batch; its first sample is used.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self._model, self._example = model, example[:1]
        with evaluating(model):
            self.flops = count_flops(model, self._example)
        self.params = count_params(model)
        self._sites = _sites(model, self._example)

    def of(self, tasks: Iterable[tuple[Task, Shapes, str | None]]) -> dict[str, Known]:
        """Return ``flops`` and ``params`` where they are known.

        Args:
            tasks: Resolved tasks, bound, with their parameters' shapes and their codes' kind, None
                where that is unknown.
        """
        changes = _Changes()
        for task, shapes, kind in tasks:
            scheme = leading(task.compression)
            if kind == "lowrank" and isinstance(scheme, LowRank):
                if not self._factored(task, shapes, scheme, changes):
                    return {}
            elif kind == "structure" and isinstance(scheme, StructurePrune):
                if not self._thinned(task, shapes, scheme, changes):
                    return {}
            elif kind in (None, "lowrank", "structure"):
                return {}
        if not changes.ranks and not changes.kept:
            return {"flops": Known.exactly(self.flops), "params": Known.exactly(self.params)}
        return self._counted(changes)

    def _factored(self, task: Task, shapes: Shapes, scheme: LowRank, changes: _Changes) -> bool:
        ranks = scheme.known_ranks(shapes)
        if ranks is None or not all(name in self._sites for name in task.params):
            return False
        found = zip(task.params, ranks, strict=True)
        changes.ranks.update({n: (r, scheme.conv) for n, r in found if r is not None})
        return True

    def _thinned(
        self, task: Task, shapes: Shapes, scheme: StructurePrune, changes: _Changes
    ) -> bool:
        if not scheme.structured or not scheme.biases or not self._removable:
            return False
        for leaders, count in scheme.survivors(shapes):
            names = frozenset(task.params[leader] for leader in leaders)
            ties = [self._channels[name].tied for name in names if name in self._channels]
            if ties != [names] * len(names):
                return False
            changes.kept.append((names, count))
        return True

    def _counted(self, changes: _Changes) -> dict[str, Known]:
        ends = []
        for end in ("value", "low", "high"):
            kept = {name: getattr(count, end) for names, count in changes.kept for name in names}
            ends.append(self._count(changes.ranks, kept))
            if all(count.exact for _, count in changes.kept):
                ends *= 3
                break
        return {
            name: Known(*(counts[i] for counts in ends))
            for i, name in enumerate(("flops", "params"))
        }

    def _count(self, ranks: Mapping[str, tuple[int, str]], kept: Kept) -> tuple[float, float]:
        """Return operations and parameters."""
        flops, params = float(self.flops), float(self.params)
        left = {name: list(map(float, self._sites[name].shape[:2])) for name in (*ranks, *kept)}
        seen: set[str] = set()
        for name, count in kept.items():
            left[name][0] = count
            if name in seen:
                continue  # tied to one that was counted
            channels = self._channels[name]
            seen |= channels.tied
            gone = self._sites[name].shape[0] - count
            params -= gone * channels.vectors
            for reader, each in channels.readers.items():
                pair = left.setdefault(reader, list(map(float, self._sites[reader].shape[:2])))
                pair[1] -= gone * each
        for name, (out, inputs) in left.items():
            macs, weights = self._layer(name, out, inputs, ranks.get(name))
            before = self._sites[name].dense(*self._sites[name].shape[:2])
            flops += 2 * (macs - before[0])
            params += weights - before[1]
        return flops, params

    def _layer(
        self, name: str, out: float, inputs: float, factors: tuple[int, str] | None
    ) -> tuple[float, float]:
        """Return multiply-adds and weights of a layer, or of the two in its place."""
        site = self._sites[name]
        dense = site.dense(out, inputs)
        if factors is None or not site.plain:
            return dense
        whole = site.shape[0], site.shape[1]
        if site.pair(*whole, *factors)[0] >= site.dense(*whole)[0]:
            return dense
        pair = site.pair(out, inputs, *factors)
        return pair if pair[0] < dense[0] else dense

    @cached_property
    def _channels(self) -> dict[str, Channels]:
        try:
            return _find_channels(self._model, self._example)
        except Exception:  # torch-pruning gives up on a graph in many ways
            return {}

    @cached_property
    def _removable(self) -> bool:
        """Whether pruning all layers to half removes what is expected; tried out once."""
        names = [name for name in self._channels if name in self._sites]
        last = find_layers(self._model)[-1].weight
        names = [name for name in names if name != last]
        if not names:
            return False
        try:
            return self._agrees(StructurePrune(0.5, scope="layer"), names)
        except (AutocompressError, RuntimeError):
            return False

    def _agrees(self, scheme: StructurePrune, names: Sequence[str]) -> bool:
        plan = Plan([Task("all", names, scheme)]).resolve(self._model, self._example)
        task = plan.tasks[0]
        twin = copy.deepcopy(self._model).eval()
        weights = tuple(twin.get_parameter(name) for name in task.params)
        code = task.compression.project(weights, mu=0.0)
        with torch.no_grad():
            for weight, value in zip(weights, code.decode(), strict=True):
                weight.copy_(value)
        module = realize(twin, plan, {"all": code}, self._example)
        bound = leading(task.compression)
        assert isinstance(bound, StructurePrune)
        kept = {
            task.params[leader]: count.value
            for leaders, count in bound.survivors(tuple(tuple(w.shape) for w in weights))
            for leader in leaders
        }
        expected = self._count({}, kept)
        return expected == (count_flops(module, self._example), count_params(module))


def leading(scheme: Compression) -> Compression:
    """Return the first scheme of a composition that does something."""
    if not isinstance(scheme, Compose):
        return scheme
    return leading(next((term for term in scheme.of if not isinstance(term, Dense)), Dense()))


def _sites(model: nn.Module, example: Tensor) -> dict[str, Site]:
    """Return the layers that are called just once, by the name of their weight."""
    calls: dict[str, list[Site]] = {}
    hooks = []
    for layer in find_layers(model):
        module = model.get_submodule(layer.name)
        hooks.append(module.register_forward_hook(_recorder(calls.setdefault(layer.weight, []))))
    try:
        with evaluating(model), torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found[0] for name, found in calls.items() if len(found) == 1}


def _recorder(found: list[Site]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        linear = isinstance(module, nn.Linear)
        spatial = output.shape[1:-1] if linear else output.shape[2:]
        first = int(output.shape[2] * inputs[0].shape[3]) if output.dim() == 4 and not linear else 0
        plain = type(module) in (nn.Linear, *CONVS) and getattr(module, "groups", 1) == 1
        found.append(Site(tuple(weight.shape), first, numel(spatial), plain))

    return record


def _find_channels(model: nn.Module, example: Tensor) -> dict[str, Channels]:
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

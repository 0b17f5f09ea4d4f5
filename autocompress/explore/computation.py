"""Operations and parameters of a plan's realized model, told from shapes alone.

Only low rank and structured pruning change the layers there are. Low rank makes two of one where
that takes fewer multiply-adds; a pruned channel goes with what reads it. Which layers read which
channels follows once from the model's graph, and is tried out once on the model itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from autocompress.compression import Compose, Compression, Dense, LowRank, StructurePrune
from autocompress.compression.base import Shapes
from autocompress.compression.estimate import Known
from autocompress.errors import AutocompressError
from autocompress.evaluation import evaluating
from autocompress.explore.channels import Channels, find_channels
from autocompress.explore.sites import find_sites
from autocompress.layers import find_layers
from autocompress.metrics.flops import count_flops, count_params
from autocompress.plan import Plan, Task
from autocompress.realize import realize

Kept = Mapping[str, float]
"""Channels left of layers that lose some, by the name of their weight."""


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
        self._sites = find_sites(model, self._example)

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
        if not scheme.structured or not scheme.biases or not self._removable or scheme.partial:
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
            return find_channels(self._model, self._example)
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
        if bound.partial:
            return False
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

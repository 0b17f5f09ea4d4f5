"""Channels that meet in the model: those of several layers that can only be removed together."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import graph
from autocompress.compression.base import Span
from autocompress.layers import NORMS, find_layers


@dataclass(frozen=True, eq=False)
class _Node:
    """A layer, or a batch norm that follows none: what has channels.

    Attributes:
        module: Itself.
        params: Names of its weight, or of a norm's vectors.
        width: How many channels it has.
        joint: Whether it is a norm.
    """

    module: nn.Module
    params: tuple[str, ...]
    width: int
    joint: bool


@dataclass
class _Segment:
    """Consecutive channels that meet the same others: ``(node, first channel)`` each."""

    members: list[tuple[int, int]]
    size: int
    open: bool


def find_spans(model: nn.Module, example: Tensor) -> dict[str, tuple[Span, ...]]:
    """Return the spans of each weight that has some, and of the vectors of joint batch norms.

    Args:
        model: The model. Not changed.
        example: One input batch.
    """
    with torch.inference_mode(False):
        twin = copy.deepcopy(model).eval().requires_grad_(True)
        try:
            traced = graph.trace(twin, example)
        except Exception:  # in many ways
            return {}
        nodes = _nodes(twin)
        channels = _meetings(traced, nodes)
    segments = [s for s in channels.segments() if not all(nodes[n].joint for n, _ in s.members)]
    spans: dict[int, list[Span]] = {}
    for number, segment in enumerate(segments):
        members = sum(len(nodes[n].params) for n, _ in segment.members) + segment.open
        for n, start in segment.members:
            spans.setdefault(n, []).append(Span(number, start, start + segment.size, members))
    found: dict[str, tuple[Span, ...]] = {}
    for n in sorted(spans):
        if len(spans[n]) > 1 or spans[n][0].members > 1:
            found |= dict.fromkeys(nodes[n].params, tuple(sorted(spans[n], key=lambda s: s.start)))
    return found


def _nodes(model: nn.Module) -> list[_Node]:
    layers = find_layers(model)
    nodes = [
        _Node(model.get_submodule(layer.name), (layer.weight,), layer.shape[0], joint=False)
        for layer in layers
    ]
    owned = {name for layer in layers for name in layer.channel_params}
    known = {name for name, _ in model.named_parameters()}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        own = tuple(prefix + name for name, _ in module.named_parameters(recurse=False))
        if isinstance(module, NORMS) and own and known - owned >= set(own):
            nodes.append(_Node(module, own, module.num_features, joint=True))
    return nodes


class _Channels:
    """All channels of all nodes, numbered through; those that meet are in one set."""

    def __init__(self, nodes: Sequence[_Node]) -> None:
        self._places = [(n, c) for n, node in enumerate(nodes) for c in range(node.width)]
        self._parents = list(range(len(self._places)))
        self._open: set[int] = set()
        widths = torch.tensor([0, *(node.width for node in nodes)])
        self._firsts: list[int] = widths.cumsum(0).tolist()

    def join(self, meeting: _Meeting) -> None:
        """Say that channels meet."""
        first, other = self._firsts[meeting.node], self._firsts[meeting.other]
        for root, idx in zip(meeting.roots, meeting.idxs, strict=True):
            a, b = self._root(first + root), self._root(other + idx)
            self._parents[max(a, b)] = min(a, b)

    def close(self, node: int) -> None:
        """Say that a node's channels cannot be removed, or only by rules that are not told here."""
        self._open.update(range(self._firsts[node], self._firsts[node + 1]))

    def segments(self) -> Iterator[_Segment]:
        """Yield the sets, those of consecutive channels together."""
        sets: dict[int, list[tuple[int, int]]] = {}
        for channel, place in enumerate(self._places):
            sets.setdefault(self._root(channel), []).append(place)
        stuck = {self._root(channel) for channel in self._open}
        last: _Segment | None = None
        for root, members in sets.items():
            if last is not None and last.open == (root in stuck) and _follow(last, members):
                last.size += 1
                continue
            if last is not None:
                yield last
            last = _Segment(members, 1, root in stuck)
        if last is not None:
            yield last

    def _root(self, channel: int) -> int:
        while (parent := self._parents[channel]) != channel:
            self._parents[channel] = channel = self._parents[parent]
        return channel


def _follow(segment: _Segment, members: list[tuple[int, int]]) -> bool:
    """Whether these channels are those that come right after a segment's."""
    return members == [(n, start + segment.size) for n, start in segment.members]


@dataclass(frozen=True)
class _Meeting:
    """Channels of a node, and those of another (or itself) that they meet, one by one."""

    node: int
    other: int
    roots: tuple[int, ...]
    idxs: tuple[int, ...]

    @property
    def orderly(self) -> bool:
        """Whether they meet in order, shifted at most: once for each place in a concatenation."""
        shifts: dict[int, set[int]] = {}
        for idx, root in zip(self.idxs, self.roots, strict=True):
            shifts.setdefault(idx - root, set()).add(root)
        return all(shifted == set(self.roots) for shifted in shifts.values())


def _meetings(traced: Any, nodes: Sequence[_Node]) -> _Channels:
    """Return which channels meet each other."""
    channels, done, found = _Channels(nodes), set[int](), list[_Meeting]()
    index = {node.module: n for n, node in enumerate(nodes)}
    for n, node in enumerate(nodes):
        if n in done or node.joint or node.module not in traced.module2node:
            continue
        every = tuple(range(node.width))
        try:
            group = graph.outputs_group(traced, node.module, list(every))
        except Exception:  # as above
            continue
        for module, idxs, roots in graph.sources(traced, group, (*graph.SOURCES, *NORMS)):
            other = index.get(module)
            if other is None and isinstance(module, NORMS):
                continue  # it follows a layer of its own
            if other is None or graph.is_grouped(module) or graph.is_grouped(node.module):
                channels.close(n)
                continue
            found.append(_Meeting(n, other, tuple(roots), tuple(idxs)))
            if tuple(idxs) == tuple(roots) == every and nodes[other].width == node.width:
                done.add(other)  # what it meets is what this one meets
    doubtful = _doubtful(nodes, found)
    for meeting in found:
        if meeting.orderly and not doubtful & {meeting.node, meeting.other}:
            channels.join(meeting)
        elif meeting.node != meeting.other:
            channels.close(meeting.node)
            channels.close(meeting.other)
    return channels


def _doubtful(nodes: Sequence[_Node], meetings: Sequence[_Meeting]) -> set[int]:
    """Return the nodes that meet others under numbers that cannot be right.

    The graph miscounts where something that is no layer's output is concatenated, the model's input
    say: channels meet nothing, or ones that do not exist.
    """
    met: dict[int, set[int]] = {}
    for meeting in meetings:
        if meeting.node != meeting.other:
            met.setdefault(meeting.other, set()).update(meeting.idxs)
            if not nodes[meeting.other].joint:
                met.setdefault(meeting.node, set()).update(meeting.roots)
    wrong = {n for n, channels in met.items() if channels != set(range(nodes[n].width))}
    pairs = [{meeting.node, meeting.other} for meeting in meetings]
    return wrong.union(*(pair for pair in pairs if pair & wrong))

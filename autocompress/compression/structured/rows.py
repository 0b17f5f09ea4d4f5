"""Rows of groups: the layers whose channels survive or vanish together, index by index."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from autocompress.compression.base import Facts, Shapes, numel
from autocompress.compression.structured.structure_code import leaders, weights_alone
from autocompress.errors import SchemeError

Part: TypeAlias = tuple[int, int, int]
"""Some of a tensor's channels: its position in the task, the first one, the one after the last."""

Ties: TypeAlias = tuple[tuple[int | Part, ...], ...]
"""Positions in the task of tensors, or parts of them, that are tied to each other."""

OUTSIDE = -1
"""In a tie: channels that are not those of one of the task's own layers, index by index."""


@dataclass(frozen=True)
class Row:
    """Layers that share their groups, with all or a part of their channels.

    Attributes:
        leaders: Positions of their weights; of a weight twice, if two of its parts are in it.
        firsts: For each leader the channel that is in the first group.
        members: Positions of all the tensors that are scored and pruned.
        starts: For each member the channel that is in the first group.
        whole: Positions of the vectors that stay whole.
        size: Number of groups.
        cost: Elements of a group.
    """

    leaders: tuple[int, ...]
    firsts: tuple[int, ...]
    members: tuple[int, ...]
    starts: tuple[int, ...]
    whole: tuple[int, ...]
    size: int
    cost: int


def find_ties(facts: Sequence[Facts]) -> Ties:
    """Return which of a task's parameters a model ties to each other."""
    groups: dict[int, list[int | Part]] = {}
    members: dict[int, int] = {}
    weights = {span.tie for fact in facts if not fact.joint for span in fact.ties}
    for position, fact in enumerate(facts):
        for span in fact.ties:
            if span.tie in weights:
                part = (position, span.start, span.stop)
                whole = len(fact.ties) == 1 and not fact.joint
                groups.setdefault(span.tie, []).append(position if whole else part)
                members[span.tie] = span.members
    return tuple(
        (*([OUTSIDE] if len(group) < members[tie] else []), *group) for tie, group in groups.items()
    )


def check_ties(ties: Ties) -> None:
    """Raise SchemeError if ties are not of positions, each channel in one of them only."""
    members = [m for tie in ties for m in tie if m != OUTSIDE]
    numbers = [n for m in members for n in (m if isinstance(m, tuple) else (m,))]
    sizes = {len(m) for m in members if isinstance(m, tuple)}
    if any(type(n) is not int or n < 0 for n in numbers) or not sizes <= {3}:
        raise SchemeError(f"ties = {ties!r}: accepted are positions, or position, start and stop")
    parts = sorted((m, 0, 0) if isinstance(m, int) else m for m in members)
    whole = [m for m in members if isinstance(m, int)]
    if any(part[0] in whole for part in parts if part[2]) or len(set(whole)) < len(whole):
        raise SchemeError(f"ties = {ties!r}: each position may be in one tie only")
    overlap = any(a[0] == b[0] and b[1] < a[2] for a, b in pairwise(parts))
    if overlap or any(stop < start for _, start, stop in parts):
        raise SchemeError(f"ties = {ties!r}: each channel may be in one tie only")


@functools.lru_cache(maxsize=64)
def find_rows(
    shapes: Shapes, ties: Ties, axis: int, biases: bool, joined: tuple[int, ...] = ()
) -> tuple[Row, ...]:
    """Return the rows of groups: layers, those tied to each other together.

    Every C step needs them again, so they are kept.

    Args:
        shapes: Of the task's parameters.
        ties: Which layers are tied to each other.
        axis: 0 for output channels, which vectors follow; 1 for input channels.
        biases: Whether vectors are scored and pruned with their channel.
        joined: Positions of vectors that have groups by their ties alone.

    Raises:
        SchemeError: the ties do not fit the shapes, or these have no such channels.
    """
    owners = weights_alone(shapes) if axis else leaders(shapes, joined)
    followers: dict[int, list[int]] = {}
    for position, owner in enumerate(owners):
        followers.setdefault(owner, []).append(position)
    tied = [_parts(tie, shapes, axis) for tie in ties]
    counts = dict.fromkeys(followers, 0)
    for parts in tied:
        for position, start, stop in parts:
            fits = position in counts and 0 <= start < stop <= shapes[position][axis]
            counts[position if fits else -1] = counts.get(position, 0) + stop - start
        if len({stop - start for _, start, stop in parts}) > 1:
            counts[-1] = 1
    if -1 in counts or any(
        count not in (0, shapes[p][axis]) for p, count in counts.items() if p not in joined
    ):
        raise SchemeError(
            f"structure-prune: ties {ties} do not fit tensors of shapes {shapes}: "
            f"leave them out, they are found when a plan is resolved with an example input"
        )
    tied += [
        ((p, 0, shapes[p][axis]),) for p, count in counts.items() if not count and p not in joined
    ]
    tied.sort(key=lambda parts: parts[0])
    return tuple(_row(parts, followers, shapes, axis, biases) for parts in tied)


def _parts(tie: tuple[int | Part, ...], shapes: Shapes, axis: int) -> tuple[Part, ...]:
    """Return a tie's members in order, all as parts."""
    parts = []
    for member in tie:
        if isinstance(member, tuple):
            parts.append(member)
        elif member != OUTSIDE:
            fits = member < len(shapes) and len(shapes[member]) > axis
            parts.append((member, 0, shapes[member][axis] if fits else -1))
    return tuple(sorted(parts))


def _row(
    parts: tuple[Part, ...],
    followers: Mapping[int, list[int]],
    shapes: Shapes,
    axis: int,
    biases: bool,
) -> Row:
    members = [(m, start) for leader, start, _ in parts for m in followers[leader]]
    whole = () if biases else tuple(m for m, _ in members if len(shapes[m]) == 1)
    scored = [(m, start) for m, start in members if m not in whole]
    return Row(
        leaders=tuple(leader for leader, _, _ in parts),
        firsts=tuple(start for _, start, _ in parts),
        members=tuple(m for m, _ in scored),
        starts=tuple(start for _, start in scored),
        whole=whole,
        size=parts[0][2] - parts[0][1],
        cost=sum(numel(shapes[m][:axis] + shapes[m][axis + 1 :]) for m, _ in scored),
    )


def narrowed(shapes: Shapes, rows: Sequence[Row], axis: int, counts: Sequence[int]) -> Shapes:
    """Return the shapes that are left where so many groups of each row survive."""
    result = list(shapes)
    for row, count in zip(rows, counts, strict=True):
        for member in row.members:
            shape = result[member]
            left = shape[axis] - (row.size - count)
            result[member] = (*shape[:axis], left, *shape[axis + 1 :])
    return tuple(result)


def survivors_of(
    shapes: Shapes,
    rows: Sequence[Row],
    axis: int,
    kept: Sequence[Tensor],
    joined: Sequence[int] = (),
) -> dict[int, Tensor]:
    """Return the channels of each leader that survive, by its position.

    Args:
        shapes: Of the task's parameters.
        rows: The rows of groups.
        axis: The dimension of weights that groups are along.
        kept: Sorted numbers of the groups that survive, for each row.
        joined: Positions of vectors that lead themselves; channels in no row survive.
    """
    found: dict[int, Tensor] = {}
    masks = {p: kept[0].new_ones(shapes[p][axis], dtype=torch.bool) for p in joined}
    for row, groups in zip(rows, kept, strict=True):
        for leader, first in zip(row.leaders, row.firsts, strict=True):
            width = shapes[leader][axis]
            if row.size == width and leader not in masks:
                found[leader] = groups
                continue
            mask = masks.setdefault(leader, groups.new_ones(width, dtype=torch.bool))
            mask[first : first + row.size] = False
            mask[first + groups] = True
    return found | {leader: torch.nonzero(mask).flatten() for leader, mask in masks.items()}

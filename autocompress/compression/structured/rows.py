"""Rows of groups: the layers whose channels survive or vanish together, index by index."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from autocompress.compression.base import Facts, Shapes, numel
from autocompress.compression.structured.structure_code import leaders, weights_alone
from autocompress.errors import SchemeError

Ties: TypeAlias = tuple[tuple[int, ...], ...]
"""Positions in the task of weights tied to each other."""

OUTSIDE = -1
"""In a tie: channels that are not those of one of the task's own layers, index by index."""


@dataclass(frozen=True)
class Row:
    """Layers that share their groups.

    Attributes:
        leaders: Positions of their weights.
        members: Positions of all the tensors that are scored and pruned.
        whole: Positions of the vectors that stay whole.
        size: Number of groups.
        cost: Elements of a group.
    """

    leaders: tuple[int, ...]
    members: tuple[int, ...]
    whole: tuple[int, ...]
    size: int
    cost: int


def find_ties(facts: Sequence[Facts]) -> Ties:
    """Return which of a task's parameters a model ties to each other."""
    groups: dict[int, list[int]] = {}
    for position, fact in enumerate(facts):
        if fact.tie is not None:
            groups.setdefault(fact.tie, []).append(position)
    ties = (
        (*([OUTSIDE] if len(members) < facts[members[0]].tied else []), *members)
        for members in groups.values()
    )
    return tuple(tie for tie in ties if len(tie) > 1)


def check_ties(ties: Ties) -> None:
    """Raise SchemeError if ties are not of positions, each in one of them only."""
    members = [m for tie in ties for m in tie if m != OUTSIDE]
    if len(set(members)) < len(members) or any(type(m) is not int or m < 0 for m in members):
        raise SchemeError(f"ties = {ties!r}: each position may be in one tie only")


@functools.lru_cache(maxsize=64)
def find_rows(shapes: Shapes, ties: Ties, axis: int, biases: bool) -> tuple[Row, ...]:
    """Return the rows of groups: layers, those tied to each other together.

    Every C step needs them again, so they are kept.

    Args:
        shapes: Of the task's parameters.
        ties: Which layers are tied to each other.
        axis: 0 for output channels, which vectors follow; 1 for input channels.
        biases: Whether vectors are scored and pruned with their channel.

    Raises:
        SchemeError: the ties do not fit the shapes, or these have no such channels.
    """
    owners = weights_alone(shapes) if axis else leaders(shapes)
    leading = sorted(set(owners))
    tied: dict[int, tuple[int, ...]] = {position: (position,) for position in leading}
    for tie in ties:
        members = tuple(sorted(m for m in tie if m != OUTSIDE))
        sizes = {shapes[m][axis] if m in tied else None for m in members}
        if None in sizes or len(sizes) > 1:
            raise SchemeError(
                f"structure-prune: ties {ties} do not fit tensors of shapes {shapes}: "
                f"leave them out, they are found when a plan is resolved with an example input"
            )
        tied |= dict.fromkeys(members, members)
    followers: dict[int, list[int]] = {position: [] for position in leading}
    for position, owner in enumerate(owners):
        followers[owner].append(position)
    unique = dict.fromkeys(tied[position] for position in leading)
    return tuple(_row(members, followers, shapes, axis, biases) for members in unique)


def _row(
    tied: tuple[int, ...],
    followers: Mapping[int, list[int]],
    shapes: Shapes,
    axis: int,
    biases: bool,
) -> Row:
    members = [position for leader in tied for position in followers[leader]]
    whole = () if biases else tuple(m for m in members if len(shapes[m]) == 1)
    scored = tuple(m for m in members if m not in whole)
    size = shapes[tied[0]][axis]
    cost = sum(numel(shapes[m]) for m in scored) // size if size else 0
    return Row(tied, scored, whole, size, cost)


def narrowed(shapes: Shapes, rows: Sequence[Row], axis: int, counts: Sequence[int]) -> Shapes:
    """Return the shapes that are left where so many groups of each row survive."""
    result = list(shapes)
    for row, count in zip(rows, counts, strict=True):
        for member in row.members:
            shape = shapes[member]
            result[member] = (*shape[:axis], count, *shape[axis + 1 :])
    return tuple(result)

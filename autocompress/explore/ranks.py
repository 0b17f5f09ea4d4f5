"""Ranks written another way: as the share that a search space's ranges are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autocompress.compression import Compression, LowRank, to_dict
from autocompress.compression.base import Shapes
from autocompress.explore.ranges import Choice, Constant, Node, Range
from autocompress.explore.schemes import SchemeNode

_SHARES = ("rank_fraction", "parameters")
"""Fields that give a rank by shapes alone."""
_HALVINGS = 50


def ranked(
    tree: Mapping[str, Any], scheme: Compression, node: SchemeNode, shapes: Shapes
) -> Iterator[dict[str, Any]]:
    """Yield a scheme's JSON form, and then others of the same ranks in the fields of a node.

    A share that gives a rank may be any number of an interval: its middle comes first, then both
    ends, one of which suits also the other layers of a shared choice if any number does.

    Args:
        tree: The JSON form.
        scheme: The scheme.
        node: What it is to be matched with.
        shapes: Shapes of the tensors it is for.
    """
    yield dict(tree)
    seen = [dict(tree)]
    for end in (0.5, 0.0, 1.0):
        other = _rewrite(tree, scheme, node, shapes, end)
        if other not in seen:
            seen.append(other)
            yield other


def _rewrite(
    tree: Mapping[str, Any], scheme: Compression, node: Node, shapes: Shapes, end: float
) -> dict[str, Any]:
    if isinstance(node, Choice):  # of schemes, inside a composition
        for _, option in node.options:
            if isinstance(option, SchemeNode) and option.scheme == tree["scheme"]:
                return _rewrite(tree, scheme, option, shapes, end)
        return dict(tree)
    if not isinstance(node, SchemeNode) or node.scheme != tree["scheme"]:
        return dict(tree)
    if isinstance(scheme, LowRank):
        return _share(scheme, node, shapes, end) or dict(tree)
    parts = getattr(scheme, "of", ())
    if not parts or node.of is None or len(parts) != len(node.of.items):
        return dict(tree)
    terms: list[dict[str, Any]] = []
    seen: Shapes | None = shapes
    for term, inner, (_, item) in zip(parts, tree["of"], node.of.items, strict=True):
        terms.append(dict(inner) if seen is None else _rewrite(inner, term, item, seen, end))
        if scheme.name == "compose" and seen is not None:
            seen = term.fitted(seen).reals_shapes(seen)
    return {**tree, "of": terms}


def _share(scheme: LowRank, node: SchemeNode, shapes: Shapes, end: float) -> dict[str, Any] | None:
    """Return low rank with the node's share in place of the rank; None where there is none."""
    wanted = scheme.known_ranks(shapes)
    fields = dict(node.fields)
    key = next((key for key in _SHARES if key in fields), None)
    if key is None or wanted is None or getattr(scheme, key) is not None:
        return None

    def ranks(share: float) -> tuple[float, ...]:
        found = _low_rank(scheme.conv, key, share).known_ranks(shapes)
        assert found is not None  # no share of these needs more than shapes
        return tuple(float("inf") if rank is None else rank for rank in found)

    goal = tuple(float("inf") if rank is None else rank for rank in wanted)
    values = _values(fields[key], ranks, goal, end)
    value = next((v for v in values if ranks(v) == goal), None)
    return None if value is None else to_dict(_low_rank(scheme.conv, key, value))


def _low_rank(conv: str, key: str, share: float) -> LowRank:
    fields: dict[str, Any] = {"conv": conv, key: share}
    return LowRank(**fields)


def _values(
    node: Node, ranks: Callable[[float], tuple[float, ...]], goal: tuple[float, ...], end: float
) -> Iterator[float]:
    """Yield shares of a node that may give the ranks."""
    if isinstance(node, Constant) and isinstance(node.value, float):
        yield node.value
    elif isinstance(node, Choice):
        for _, option in node.options:
            yield from _values(option, ranks, goal, end)
    elif isinstance(node, Range) and node.step is not None:
        count = round((node.high - node.low) / node.step)
        inside = [
            v for v in (node.low + i * node.step for i in range(count + 1)) if ranks(v) == goal
        ]
        yield from inside[round(end * (len(inside) - 1)) :][:1]
    elif isinstance(node, Range):
        low = _first(node, lambda share: ranks(share) >= goal)
        high = _first(node, lambda share: ranks(share) > goal)
        # the last one before the ranks grow; all of them if they never do
        inner = high - 1e-9 * (high - low) if ranks(high) != goal else high
        yield low + end * (inner - low)


def _first(node: Range, reached: Callable[[float], bool]) -> float:
    """Return the smallest share of a range from which on something holds; the largest if never."""
    low, high = node.low, node.high
    if reached(low):
        return low
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high

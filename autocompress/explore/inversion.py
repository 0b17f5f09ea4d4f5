"""From values back to the parameters of a search space that give them.

The opposite of :meth:`Node.sample`: a tree of nodes is walked along with a plain value, and every
parameter that the node would have asked a chooser for is read off the value. Where the value is
none that the node can give, the nearest one is taken and a :class:`Misfit` says so. Different
parameters may still come to the same candidate, so whoever asks has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autocompress.explore.ranges import Choice, Constant, Listing, Node, Range, Record, Scalar
from autocompress.explore.schemes import SchemeNode

SCHEME = "scheme"
_FAR = 100
"""How much more another scheme counts than another value of a field."""


@dataclass(frozen=True)
class Misfit:
    """A value that a space cannot give.

    Attributes:
        path: Where it is, ``"codebook.k"``; ``"scheme"`` at the end where that is another one.
        value: The value.
        accepted: What the space has there, in words.
    """

    path: str
    value: Any
    accepted: str

    @property
    def scheme(self) -> bool:
        """Whether it is the scheme itself that differs."""
        return self.path.rpartition(".")[2] == SCHEME

    def __str__(self) -> str:
        return f"{self.path} = {self.value!r}: the space accepts {self.accepted}"


@dataclass(frozen=True)
class Match:
    """The parameters for a value, or for what is nearest to it.

    Attributes:
        params: Values by parameter name.
        misfits: Where the value is none of the space; empty if it is one.
    """

    params: dict[str, Any] = field(default_factory=dict)
    misfits: tuple[Misfit, ...] = ()

    @property
    def distance(self) -> int:
        """How far the value is from the space; 0 if it is in it."""
        return sum(_FAR if misfit.scheme else 1 for misfit in self.misfits)

    @property
    def foreign(self) -> bool:
        """Whether the value has a scheme that the node does not have."""
        return any(misfit.scheme for misfit in self.misfits)

    def __or__(self, other: Match) -> Match:
        return Match(self.params | other.params, self.misfits + other.misfits)


def match(node: Node, value: Any, name: str, path: str = "") -> Match:
    """Return the parameters with which a node gives a value.

    Args:
        node: The node.
        value: A plain value, in JSON form.
        name: The parameter's name, as :meth:`Node.sample` takes it.
        path: What misfits call the place.
    """
    if isinstance(node, SchemeNode):
        return _scheme(node, value, name, path)
    if isinstance(node, Range):
        return _range(node, value, name, path)
    if isinstance(node, Choice):
        return _choice(node, value, name, path)
    if isinstance(node, Record):
        return _record(node, value, name, path)
    if isinstance(node, Listing):
        return _listing(node, value, name, path)
    if isinstance(node, Constant) and same(node.value, value):
        return Match()
    return Match(misfits=(Misfit(path, value, accepted(node)),))


def accepted(node: Node) -> str:
    """Say in words what a node can give."""
    if isinstance(node, Range):
        step = "" if node.step is None else f" in steps of {node.step:g}"
        return f"{node.low:g} to {node.high:g}{step}"
    if isinstance(node, Choice):
        return ", ".join(dict.fromkeys(accepted(found) for _, found in node.options))
    if isinstance(node, SchemeNode):
        return node.label
    if isinstance(node, Record):
        return f"a mapping of {', '.join(key for key, _ in node.fields)}"
    if isinstance(node, Listing):
        return f"a list of {', '.join(label for label, _ in node.items) or 'nothing'}"
    return str(node.value) if isinstance(node, Constant) else type(node).__name__


def same(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are equal, numbers but for rounding."""
    if _number(ours) and _number(theirs):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(same(v, theirs[k]) for k, v in ours.items())
    if _list(ours) and _list(theirs):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


def difference(wanted: Any, made: Any, path: str = "") -> Misfit | None:
    """Return the first place where two JSON values differ, None if they are equal."""
    if isinstance(wanted, Mapping) and isinstance(made, Mapping):
        pairs = [(key, wanted.get(key), made.get(key)) for key in {**wanted, **made}]
    elif _list(wanted) and _list(made) and len(wanted) == len(made):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(wanted, made, strict=True))]
    else:
        return None if same(wanted, made) else Misfit(path, wanted, str(made))
    found = (difference(a, b, _join(path, key)) for key, a, b in pairs)
    return next((misfit for misfit in found if misfit is not None), None)


def _scheme(node: SchemeNode, value: Any, name: str, path: str) -> Match:
    scheme = value.get(SCHEME) if isinstance(value, Mapping) else None
    if scheme != node.scheme:
        return Match(misfits=(Misfit(_join(path, SCHEME), scheme, node.label),))
    found = _record(Record(node.fields), value, name, _join(path, node.scheme))
    if node.of is None:
        return found
    # the parts are called by their own names
    return found | _listing(node.of, value.get("of"), name, path)


def _range(node: Range, value: Any, name: str, path: str) -> Match:
    misfit = Misfit(path, value, accepted(node))
    if not _number(value):
        return Match({name: node.low}, (misfit,))
    taken = min(max(value, node.low), node.high)
    step = 1 if node.integer and node.step is None else node.step
    if step is not None:
        taken = min(node.low + round((taken - node.low) / step) * step, node.high)
    if not same(taken, value):
        return Match({name: int(taken) if node.integer else float(taken)}, (misfit,))
    # as it was written: 0.1 + 2 * 0.1 is not 0.3
    kept = min(max(value, node.low), node.high)
    return Match({name: int(kept) if node.integer else float(kept)})


def _choice(node: Choice, value: Any, name: str, path: str) -> Match:
    tried: list[tuple[float, float, int, Scalar, Match]] = []
    for i, (label, option) in enumerate(node.options):
        constant = isinstance(option, Constant)
        found = match(option, value, name if constant else f"{name}.{label}", path)
        gap = abs(label - value) if _number(label) and _number(value) else 0.0
        tried.append((found.distance, gap, i, label, found))
    _, _, _, label, best = min(tried, key=lambda one: one[:3])
    own = {name: label} if len(node.options) > 1 else {}
    misfits = tuple(
        Misfit(m.path, m.value, accepted(node)) if m.path == path or m.scheme else m
        for m in best.misfits
    )
    return Match(own | best.params, misfits)


def _record(node: Record, value: Any, name: str, path: str) -> Match:
    if not isinstance(value, Mapping):
        return Match(misfits=(Misfit(path, value, accepted(node)),))
    found = Match()
    prefix = f"{name}." if name else ""
    for key, inner in node.fields:
        found |= match(inner, value.get(key), f"{prefix}{key}", _join(path, key))
    return found


def _listing(node: Listing, value: Any, name: str, path: str) -> Match:
    if not _list(value) or len(value) != len(node.items):
        return Match(misfits=(Misfit(_join(path, SCHEME), _labels(value), accepted(node)),))
    found = Match()
    for (label, inner), item in zip(node.items, value, strict=True):
        found |= match(inner, item, f"{name}.{label}", path)
    return found


def _labels(value: Any) -> Any:
    """Name the schemes of a list."""
    parts = value if _list(value) else [value]
    return [part.get(SCHEME, part) if isinstance(part, Mapping) else part for part in parts]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

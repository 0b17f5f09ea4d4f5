"""The grammar of search spaces: YAML data to nodes of :mod:`autocompress.explore.ranges`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from autocompress.errors import ConfigError
from autocompress.explore.ranges import Choice, Constant, Listing, Node, Range, Record, Scalar
from autocompress.jsonform import require_keys


def parse(data: Any, where: str, *, integers: Collection[str] = (), key: str = "") -> Node:
    """Build a node from YAML data.

    A mapping with ``low`` and ``high`` (and perhaps ``log``, ``step``, ``type``) is a range, one
    with ``choice`` a choice, any other mapping a record, a list with mappings in it a listing;
    anything else is a constant. Nodes are taken as they are, so Python code may mix both.

    Args:
        data: The data.
        where: File and key, for error messages.
        integers: Names of the fields whose ranges hold integers unless ``type`` says otherwise.
        key: The name of the field this is the value of.

    Raises:
        ConfigError: naming file, key, value and what is accepted.
    """
    if isinstance(data, Node):
        return data
    if isinstance(data, Sequence) and any(isinstance(item, (Mapping, Node)) for item in data):
        nodes = [parse(v, f"{where}[{i}]", integers=integers) for i, v in enumerate(data)]
        return Listing(tuple(zip(unique([_label(node) for node in nodes]), nodes, strict=True)))
    if not isinstance(data, Mapping):
        return Constant(list(data) if isinstance(data, tuple) else data)
    if "low" in data or "high" in data:
        return _range(data, where, key in integers)
    if "choice" in data:
        require_keys(data, {"choice"}, where)
        return _choice(data["choice"], where, integers, key)
    return Record(
        tuple(
            (str(k), parse(v, f"{where}.{k}", integers=integers, key=str(k)))
            for k, v in data.items()
        )
    )


def unique(labels: Sequence[str]) -> list[str]:
    """Return the labels with a number put behind those that came before: ``prune``, ``prune2``."""
    return [
        label if (n := labels[:i].count(label)) == 0 else f"{label}{n + 1}"
        for i, label in enumerate(labels)
    ]


def _range(data: Mapping[str, Any], where: str, integer: bool) -> Range:
    require_keys(data, {"low", "high"}, where, ("log", "step", "type"))
    kind = data.get("type", "int" if integer else "float")
    if kind not in ("int", "float"):
        raise ConfigError(f"{where}.type = {kind!r}: accepted is 'int' or 'float'")
    log = data.get("log", False)
    try:
        return Range(data["low"], data["high"], log, data.get("step"), kind == "int")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _choice(items: Any, where: str, integers: Collection[str], key: str) -> Choice:
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        raise ConfigError(f"{where}.choice = {items!r}: accepted is a list of at least one value")
    nodes = [
        parse(item, f"{where}.choice[{i}]", integers=integers, key=key)
        for i, item in enumerate(items)
    ]
    named = iter(unique([_label(n) for n in nodes if not isinstance(n, Constant)]))
    labels = [_value(n) if isinstance(n, Constant) else next(named) for n in nodes]
    for i, label in enumerate(labels):
        if not isinstance(label, Scalar):
            raise ConfigError(f"{where}.choice[{i}] = {label!r}: a list cannot be chosen")
        if label in labels[:i]:
            raise ConfigError(f"{where}.choice: {label!r} is there twice")
    return Choice(tuple(zip(labels, nodes, strict=True)))


def _value(node: Constant) -> Any:
    """Return what a chooser picks a constant by: itself, or "none" for an empty list."""
    return "none" if node.value == [] else node.value


def _label(node: Node) -> str:
    """Name a choice that is not a plain value: by its constant ``name`` or ``scheme`` if any."""
    if isinstance(node, Listing):
        return "+".join(label for label, _ in node.items)
    if isinstance(node, Constant):
        return str(node.value)
    fields = dict(node.fields) if isinstance(node, Record) else {}
    for key in ("name", "scheme", "method"):
        if isinstance(found := fields.get(key), Constant):
            return str(found.value)
    return "range" if isinstance(node, Range) else "custom"

"""The schemes a search space offers, with ranges in place of numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from autocompress.compression import SCHEMES, Compression, to_dict
from autocompress.errors import ConfigError, unknown
from autocompress.explore.fitting import FRACTION, build_any, has_fraction
from autocompress.explore.grammar import parse, unique
from autocompress.explore.ranges import Choice, Chooser, Listing, Node

_EXTRA = ("name", "weight")


@dataclass(frozen=True)
class SchemeNode(Node):
    """A scheme whose fields may be ranges or choices.

    Attributes:
        scheme: Its name.
        fields: Its fields, ``of`` excepted.
        of: The schemes inside, for compositions and sums.
    """

    scheme: str
    fields: tuple[tuple[str, Node], ...] = ()
    of: Listing | None = None

    @property
    def label(self) -> str:
        """``prune``; ``prune,codebook`` for a composition; ``codebook+prune`` for a sum."""
        labels = [label for label, _ in self.of.items] if self.of else [self.scheme]
        return ("+" if self.scheme == "additive" else ",").join(labels)

    def sample(self, chooser: Chooser, name: str) -> dict[str, Any]:
        values = {key: node.sample(chooser, f"{name}.{key}") for key, node in self.fields}
        inner = {"of": self.of.sample(chooser, name)} if self.of else {}
        return {"scheme": self.scheme, **values, **inner}

    def corners(self) -> Iterator[dict[str, Any]]:
        parts: list[tuple[str, Node]] = [*self.fields, *([("of", self.of)] if self.of else [])]
        corners = {key: list(node.corners()) for key, node in parts}
        first = {"scheme": self.scheme, **{key: values[0] for key, values in corners.items()}}
        yield first
        for key, values in corners.items():
            for value in values[1:]:
                yield first | {key: value}

    def to_data(self) -> dict[str, Any]:
        values = {key: node.to_data() for key, node in self.fields}
        return {"scheme": self.scheme, **values, **({"of": self.of.to_data()} if self.of else {})}


@dataclass(frozen=True)
class Option:
    """One of the schemes a rule chooses from.

    Attributes:
        label: Its name among the rule's options.
        weight: Its probability relative to the other options', above 0.
        node: The scheme.
    """

    label: str
    weight: float
    node: SchemeNode

    @cached_property
    def structured(self) -> bool:
        """Whether it prunes output channels, which the model's last layer cannot lose."""
        return any(build_any(corner).structured for corner in self.node.corners())

    @cached_property
    def relative(self) -> bool:
        """Whether a rank in it is relative to the layer's full rank."""
        return any(has_fraction(corner) for corner in self.node.corners())

    def to_data(self) -> dict[str, Any]:
        """Return the YAML data of this option."""
        return {"name": self.label, "weight": self.weight, **self.node.to_data()}


def parse_options(data: Any, where: str) -> tuple[Option, ...]:
    """Build a rule's options from a list of YAML mappings, schemes or options.

    Raises:
        ConfigError, SchemeError: naming file, key, value and what is accepted.
    """
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise ConfigError(f"{where} = {data!r}: accepted is a list of at least one scheme")
    options = [_option(item, f"{where}[{i}]") for i, item in enumerate(data)]
    labels = unique([option.label for option in options])
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{where}: two schemes have the name {max(labels, key=labels.count)!r}")
    return tuple(
        dataclasses.replace(option, label=label)
        for option, label in zip(options, labels, strict=True)
    )


def _option(data: Any, where: str) -> Option:
    if isinstance(data, Option):
        return data
    extra: dict[str, Any] = {}
    if isinstance(data, Mapping):
        extra = {key: data[key] for key in _EXTRA if key in data}
        data = {key: value for key, value in data.items() if key not in _EXTRA}
    node = parse_scheme(data, where)
    if not isinstance(node, SchemeNode):
        raise ConfigError(f"{where}: a choice of schemes is what the list itself is")
    for corner in node.corners():
        build_any(corner, where=where)
    weight = extra.get("weight", 1.0)
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not 0 < weight < math.inf:
        raise ConfigError(f"{where}.weight = {weight!r}: accepted is a number above 0")
    label = extra.get("name", node.label)
    if not isinstance(label, str) or not label:
        raise ConfigError(f"{where}.name = {label!r}: accepted is a text")
    return Option(label, float(weight), node)


def parse_scheme(data: Any, where: str) -> Node:
    """Build a scheme, or a choice of schemes, from YAML data or a scheme object.

    Raises:
        ConfigError: naming file, key, value and what is accepted.
    """
    if isinstance(data, Node):
        return data
    if isinstance(data, Compression):
        data = to_dict(data)
    if isinstance(data, Mapping) and set(data) == {"choice"}:
        return Choice(_labelled(data["choice"], f"{where}.choice"))
    if not isinstance(data, Mapping) or "scheme" not in data:
        raise ConfigError(f"{where}: a scheme is a mapping with the key 'scheme', not {data!r}")
    name = data["scheme"]
    if name not in SCHEMES:
        raise unknown("scheme", name, SCHEMES, where=where)
    fields = [f.name for f in dataclasses.fields(SCHEMES[name])]  # type: ignore[arg-type]
    accepted = [*fields, FRACTION] if name == "low-rank" else fields
    for key in data:
        if key != "scheme" and key not in accepted:
            raise unknown(f"key of scheme {name!r}", key, accepted, where=where)
    hints = get_type_hints(SCHEMES[name])
    integers = {key for key in fields if hints[key] is int}
    nodes = tuple(
        (key, parse(value, f"{where}.{key}", integers=integers, key=key))
        for key, value in data.items()
        if key not in ("scheme", "of")
    )
    inner = Listing(_labelled(data["of"], f"{where}.of")) if "of" in data else None
    return SchemeNode(name, nodes, inner)


def _labelled(data: Any, where: str) -> tuple[tuple[str, Node], ...]:
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise ConfigError(f"{where} = {data!r}: accepted is a list of at least one scheme")
    nodes = [parse_scheme(item, f"{where}[{i}]") for i, item in enumerate(data)]
    return tuple(zip(unique([_label(node) for node in nodes]), nodes, strict=True))


def _label(node: Node) -> str:
    if isinstance(node, Choice):
        return "|".join(str(label) for label, _ in node.options)
    return node.label if isinstance(node, SchemeNode) else "scheme"

"""The schemes a search space offers, with ranges in place of numbers."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

from autocompress.compression import SCHEMES, Compression, from_dict, to_dict
from autocompress.compression.extension import extensions
from autocompress.compression.registry import find_scheme, name_of
from autocompress.errors import ConfigError, unknown
from autocompress.explore.grammar import parse, unique
from autocompress.explore.ranges import Choice, Chooser, Constant, Listing, Node
from autocompress.plan import WEIGHTINGS

_EXTRA = ("name", "weight", "weighting")
_IDENTITY = Constant("identity")


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
        weighting: The norm of its C step by name, or a choice of them; see
            :class:`~autocompress.plan.Task`.
    """

    label: str
    weight: float
    node: SchemeNode
    weighting: Node = _IDENTITY

    @cached_property
    def structured(self) -> bool:
        """Whether it prunes output channels, which the model's last layer cannot lose."""
        return any(from_dict(corner).structured for corner in self.node.corners())

    def sample(self, chooser: Chooser, name: str) -> tuple[dict[str, Any], str]:
        """Draw the scheme's JSON form and the norm of its C step."""
        values = self.node.sample(chooser, name)
        return values, self.weighting.sample(chooser, f"{name}.weighting")

    def corners(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield schemes and norms as :meth:`Node.corners` does."""
        weightings = list(self.weighting.corners())
        for values in self.node.corners():
            for weighting in weightings:
                yield values, weighting

    def to_data(self) -> dict[str, Any]:
        """Return the YAML data of this option."""
        norm = self.weighting.to_data()
        extra = {} if norm == "identity" else {"weighting": norm}
        return {"name": self.label, "weight": self.weight, **extra, **self.node.to_data()}


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
    schemes = [from_dict(corner, where=where) for corner in node.corners()]
    weighting = parse(extra.get("weighting", "identity"), f"{where}.weighting")
    for norm in weighting.corners():
        _check_weighting(norm, schemes, f"{where}.weighting")
    weight = extra.get("weight", 1.0)
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not 0 < weight < math.inf:
        raise ConfigError(f"{where}.weight = {weight!r}: accepted is a number above 0")
    label = extra.get("name", node.label)
    if not isinstance(label, str) or not label:
        raise ConfigError(f"{where}.name = {label!r}: accepted is a text")
    return Option(label, float(weight), node, weighting)


def _check_weighting(norm: object, schemes: Iterable[Compression], where: str) -> None:
    """Raise unless this is the name of a norm that all the schemes have a C step under."""
    if not isinstance(norm, str) or norm not in WEIGHTINGS:
        raise unknown("weighting", norm, WEIGHTINGS, where=where)
    for scheme in schemes:
        taken = [name for name, kind in WEIGHTINGS.items() if kind in {"", *scheme.weightings}]
        if norm not in taken:
            raise ConfigError(
                f"{where} = {norm!r}: {scheme.describe()} has no C step under it; accepted is "
                f"{', '.join(taken)}"
            )


def parse_scheme(data: Any, where: str) -> Node:
    """Build a scheme, or a choice of schemes, from YAML data or a scheme object.

    Raises:
        ConfigError: naming file, key, value and what is accepted.
    """
    if isinstance(data, Node):
        return data
    if isinstance(data, Compression):
        _register(data)
        data = to_dict(data.unbound())
    if isinstance(data, Mapping) and set(data) == {"choice"}:
        return Choice(_labelled(data["choice"], f"{where}.choice"))
    if not isinstance(data, Mapping) or "scheme" not in data:
        raise ConfigError(f"{where}: a scheme is a mapping with the key 'scheme', not {data!r}")
    name = data["scheme"]
    cls = find_scheme(name, where=where)
    # what is filled in by bind() is not shown, nor said
    fields = [f.name for f in dataclasses.fields(cls) if f.repr]  # type: ignore[arg-type]
    if cls is extensions.Unknown:  # whose fields are not known either
        fields = list(data)
    for key in data:
        if key != "scheme" and key not in fields:
            raise unknown(f"key of scheme {name!r}", key, fields, where=where)
    hints = get_type_hints(cls)
    integers = {key for key in fields if _whole(hints.get(key))}
    if cls is not extensions.Unknown:
        data = {**data, **_ranges(cls, data)}
    nodes = tuple(
        (key, parse(value, f"{where}.{key}", integers=integers, key=key))
        for key, value in data.items()
        if key not in ("scheme", "of")
    )
    inner = Listing(_labelled(data["of"], f"{where}.of")) if "of" in data else None
    return SchemeNode(name, nodes, inner)


def _register(scheme: Compression) -> None:
    """Make a scheme object's class known: whoever put it into a space wants it tried."""
    if name_of(type(scheme)) not in SCHEMES and not isinstance(scheme, extensions.Unknown):
        extensions.register(type(scheme))
    for term in getattr(scheme, "of", ()):
        if isinstance(term, Compression):
            _register(term)


def _whole(hint: Any) -> bool:
    """Whether a field holds integers (or None)."""
    union = get_origin(hint) in (Union, types.UnionType)
    return set(get_args(hint) if union else [hint]) - {types.NoneType} == {int}


def _ranges(scheme: type[Compression], given: Collection[str]) -> dict[str, Any]:
    """Return the scheme's own ranges of what must be given and is not.

    That is every field without a default. Fields whose default is None are alternatives: one of
    them takes its range where none is given.
    """
    fields = dataclasses.fields(scheme)  # type: ignore[arg-type]  # concrete ones are dataclasses
    wanted = {f.name for f in fields if f.default is f.default_factory}  # both are missing
    alternatives = {f.name for f in fields if f.default is None}
    if not alternatives & set(given):
        wanted |= alternatives
    return {k: v for k, v in scheme.ranges.items() if k in wanted and k not in given}


def _labelled(data: Any, where: str) -> tuple[tuple[str, Node], ...]:
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise ConfigError(f"{where} = {data!r}: accepted is a list of at least one scheme")
    nodes = [parse_scheme(item, f"{where}[{i}]") for i, item in enumerate(data)]
    return tuple(zip(unique([_label(node) for node in nodes]), nodes, strict=True))


def _label(node: Node) -> str:
    if isinstance(node, Choice):
        return "|".join(str(label) for label, _ in node.options)
    return node.label if isinstance(node, SchemeNode) else "scheme"

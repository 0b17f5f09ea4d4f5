"""The parameters of a search space on a model: what each may be, and when it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autocompress.explore.ranges import Choice, Constant, Listing, Node, Range, Record, Scalar
from autocompress.explore.rules import Group
from autocompress.explore.schemes import SchemeNode


@dataclass(frozen=True)
class Parameter:
    """A value of a candidate, by the name a chooser is asked for it.

    Attributes:
        name: Its name, ``"fc1.prune,codebook.prune.density"``.
        place: The name without what was chosen on the way there, ``"fc1.prune.density"``.
        field: Its last key, ``"density"``.
        owners: Group and layers it belongs to, or ``"recipe"``.
        values: What it may be: a range, or the values to choose from.
        when: The choices that lead to it, by parameter name.
    """

    name: str
    place: str
    field: str
    owners: tuple[str, ...]
    values: Range | tuple[Scalar, ...]
    when: tuple[tuple[str, Scalar], ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether it has one value, which nobody is asked for."""
        return not isinstance(self.values, Range) and len(self.values) == 1

    @property
    def numeric(self) -> bool:
        """Whether it may be a number."""
        return isinstance(self.values, Range) or any(is_number(value) for value in self.values)

    def read(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return its value among a candidate's parameters; nothing where it is not there."""
        if any(params.get(name) != label for name, label in self.when):
            return ()
        if not isinstance(self.values, Range) and len(self.values) == 1:
            return self.values
        return (params[self.name],) if self.name in params else ()


def find_parameters(groups: Sequence[Group], recipe: Iterator[Parameter]) -> list[Parameter]:
    """Return the parameters of all groups, then those of the recipe; constants among them."""
    return [parameter for group in groups for parameter in group_parameters(group)] + list(recipe)


def group_parameters(group: Group) -> Iterator[Parameter]:
    """Yield a group's choice of scheme, and the parameters of every scheme."""
    name = group.name
    owners = (name, *(layer.name for layer in group.layers if layer.name != name))
    labels = tuple(option.label for option in group.options)
    top = Parameter(f"{name}.scheme", f"{name}.scheme", "scheme", owners, labels)
    yield top
    for option in group.options:
        when = () if top.fixed else ((top.name, option.label),)
        inner = replace(top, name=f"{name}.{option.label}", place=name, when=when)
        yield from _walk(option.node, inner)
        yield from _walk(option.weighting, _part(inner, "weighting"))


def recipe_parameters(method: Node, fields: Record) -> Iterator[Parameter]:
    """Yield the parameters of the recipes: the method's, and those of ``LC``."""
    top = Parameter("recipe", "recipe", "recipe", ("recipe",), ())
    yield from _walk(method, _part(top, "method"))
    when: tuple[tuple[str, Scalar], ...] = ()
    if isinstance(method, Choice) and len(method.options) > 1:
        when = (("recipe.method", "lc"),)
    yield from _walk(fields, replace(top, when=when))


def _walk(node: Node, at: Parameter) -> Iterator[Parameter]:
    """Yield the parameters of a node; ``at`` says where it is, its values do not matter."""
    if isinstance(node, Constant):
        if isinstance(node.value, Scalar):
            yield replace(at, values=(node.value,))
    elif isinstance(node, Range):
        yield replace(at, values=node)
    elif isinstance(node, Choice):
        yield from _choice(node, at)
    elif isinstance(node, Record):
        for key, inner in node.fields:
            yield from _walk(inner, _part(at, key))
    elif isinstance(node, Listing):
        for label, inner in node.items:
            yield from _walk(inner, _part(at, label))
    elif isinstance(node, SchemeNode):
        for key, inner in node.fields:
            yield from _walk(inner, _part(at, key))
        if node.of is not None:
            yield from _walk(node.of, at)


def _choice(node: Choice, at: Parameter) -> Iterator[Parameter]:
    labels = tuple(label for label, _ in node.options)
    yield replace(at, values=labels)
    for label, inner in node.options:
        if not isinstance(inner, Constant):
            when = at.when if len(labels) == 1 else (*at.when, (at.name, label))
            yield from _walk(inner, replace(at, name=f"{at.name}.{label}", when=when))


def _part(at: Parameter, key: str) -> Parameter:
    return replace(at, name=f"{at.name}.{key}", place=f"{at.place}.{key}", field=key)


def is_number(value: object) -> bool:
    """Whether this is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""Which layers a search space's schemes are for, and whether layers decide alone or together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from autocompress.compression import Compression, Dense
from autocompress.compression.base import Shapes
from autocompress.errors import ConfigError, SchemeError, unknown
from autocompress.explore.fitting import fit
from autocompress.explore.predicates import Positions, Sizes, named
from autocompress.explore.ranges import Chooser
from autocompress.explore.schemes import Option, parse_options
from autocompress.jsonform import require_keys
from autocompress.layers import LayerInfo
from autocompress.plan import Task

Layers = tuple[LayerInfo, ...]
KINDS = ("linear", "conv")
_KEYS = ("kind", "index", "size", "last", "share", "joint", "name")


@dataclass(frozen=True)
class Rule:
    """Schemes for some layers.

    Args:
        match: Layer names or patterns (``*``, ``?``, ``[]``), read in order; one that starts with
            ``!`` takes layers away.
        schemes: Options, YAML-like mappings or scheme objects; one of them is chosen.
        kind: ``"linear"`` or ``"conv"``: only such layers.
        index: Only layers at these positions among the model's: an integer, a list of them or
            ``{"min": …, "max": …}``; negative ones count from the last layer.
        size: Only layers of so many weights: ``{"min": …, "max": …}``.
        last: Whether the model's output layer may be among them.
        share: Whether all the layers take the same choice, each compressed by itself.
        joint: Whether all the layers are one task, compressed together (implies one choice).
        name: What parameters of a shared or joint choice are called; given by the patterns
            otherwise.
        where: File and key, for error messages.

    Raises:
        ConfigError, SchemeError: naming file, key, value and what is accepted.
    """

    match: tuple[str, ...]
    schemes: tuple[Option, ...]
    kind: str | None
    index: Positions | None
    size: Sizes | None
    last: bool
    share: bool
    joint: bool
    name: str

    def __init__(
        self,
        match: str | Iterable[str],
        schemes: Sequence[Option | Compression | Mapping[str, Any]],
        *,
        kind: str | None = None,
        index: Any = None,
        size: Any = None,
        last: bool = True,
        share: bool = False,
        joint: bool = False,
        name: str = "",
        where: str = "rule",
    ) -> None:
        patterns = (match,) if isinstance(match, str) else match
        if (
            not isinstance(patterns, Sequence)
            or not patterns
            or not all(
                isinstance(pattern, str) and pattern.removeprefix("!") for pattern in patterns
            )
        ):
            raise ConfigError(f"{where}.match = {match!r}: accepted is a pattern or a list of them")
        if kind is not None and kind not in KINDS:
            raise unknown("kind of layer", kind, KINDS, where=f"{where}.kind")
        for key, value in (("last", last), ("share", share), ("joint", joint)):
            if not isinstance(value, bool):
                raise ConfigError(f"{where}.{key} = {value!r}: accepted is true or false")
        if not isinstance(name, str):
            raise ConfigError(f"{where}.name = {name!r}: accepted is a text")
        try:
            options = parse_options(schemes, f"{where}.schemes")
        except (ConfigError, SchemeError) as error:
            raise type(error)(f"{error} (rule for {', '.join(patterns)})") from None
        fields: dict[str, Any] = {
            "match": tuple(patterns),
            "schemes": options,
            "kind": kind,
            "index": None if index is None else Positions.parse(index, f"{where}.index"),
            "size": None if size is None else Sizes.parse(size, f"{where}.size"),
            "last": last,
        }
        fields |= {"share": share, "joint": joint, "name": name or _name(tuple(patterns), kind)}
        for key, value in fields.items():
            object.__setattr__(self, key, value)

    def select(self, layers: Layers, where: str) -> Layers:
        """Return the layers the rule is for, in the model's order.

        Raises:
            UnknownName, ConfigError: a name or pattern that no layer of the model has.
        """
        chosen = named(self.match, [layer.name for layer in layers], f"{where}.match")
        count = len(layers)
        places = self.index.select(count, f"{where}.index") if self.index else range(count)
        return tuple(
            layer
            for layer in layers
            if layer.name in chosen
            and self.kind in (None, layer.kind)
            and layer.index in places
            and (self.size is None or layer in self.size)
            and (self.last or layer.index < len(layers) - 1)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the YAML data of this rule."""
        data: dict[str, Any] = {"match": list(self.match), "name": self.name}
        if self.kind:
            data["kind"] = self.kind
        if self.index:
            data["index"] = self.index.to_data()
        if self.size:
            data["size"] = self.size.to_data()
        data |= {"last": self.last, "share": self.share, "joint": self.joint}
        return data | {"schemes": [option.to_data() for option in self.schemes]}

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "rule") -> Self:
        """Build a rule from YAML data.

        Raises:
            ConfigError, SchemeError: naming file, key, value and what is accepted.
        """
        require_keys(data, {"match", "schemes"}, where, _KEYS)
        return cls(**data, where=where)


def _name(match: tuple[str, ...], kind: str | None) -> str:
    return ("all" if match == ("*",) else ",".join(match)) + (f"-{kind}" if kind else "")


@dataclass(frozen=True)
class Group:
    """Layers that take one choice together.

    Attributes:
        name: The layer's name, or the rule's if it is shared or joint.
        layers: The layers.
        options: The schemes to choose from.
        joint: Whether the layers are one task.
        final: Index of the model's last layer, which cannot lose output channels.
        where: File and key of the rule.
    """

    name: str
    layers: Layers
    options: tuple[Option, ...]
    joint: bool
    final: int
    where: str

    @property
    def weights(self) -> dict[str, float] | None:
        """Probability of each option by its label; None where all are equal."""
        total = sum(option.weight for option in self.options)
        weights = {option.label: option.weight / total for option in self.options}
        return weights if len(set(weights.values())) > 1 else None

    def choose(self, chooser: Chooser) -> tuple[Option, dict[str, Any], str]:
        """Draw one of the options, its values and the norm of its C step."""
        labels = [option.label for option in self.options]
        label = (
            chooser.suggest_categorical(f"{self.name}.scheme", labels) if labels[1:] else labels[0]
        )
        option = self.options[labels.index(label)]
        return option, *option.sample(chooser, f"{self.name}.{label}")

    def sample(self, chooser: Chooser) -> list[Task]:
        """Draw the group's tasks: none where the choice is no compression."""
        return self.tasks(*self.choose(chooser))

    def tasks(
        self, option: Option, values: Mapping[str, Any], weighting: str = "identity"
    ) -> list[Task]:
        """Return the tasks of one of the options, with its sampled values."""
        layers = [x for x in self.layers if x.index != self.final or not option.structured]
        parts = [(self.name, layers)] if self.joint else [(_task_name(x), [x]) for x in layers]
        tasks = []
        for name, members in parts:
            where = f"{self.where}: {option.label!r} on {', '.join(x.name for x in members)}"
            try:
                compression = fit(values, _shapes(members, option.structured), where=where)
            except SchemeError as error:
                text = str(error)
                raise SchemeError(text if text.startswith(where) else f"{where}: {text}") from None
            if not isinstance(compression, Dense):
                tasks.append(Task(name, [x.weight for x in members], compression, weighting))
        return tasks


def make_groups(rules: Sequence[Rule], layers: Layers, source: str) -> tuple[Group, ...]:
    """Deal out a model's layers: each goes to the first rule that is for it.

    Layers no rule is for stay dense, as does an output layer offered structured schemes only.

    Raises:
        ConfigError: a pattern without a layer, no layer for any rule, or two groups of one name.
    """
    taken: set[str] = set()
    groups: list[Group] = []
    final = len(layers) - 1
    for i, rule in enumerate(rules):
        where = f"{source}: layers[{i}]" if source else f"layers[{i}]"
        chosen = tuple(x for x in rule.select(layers, where) if x.name not in taken)
        taken |= {x.name for x in chosen}
        together = rule.share or rule.joint
        parts = [(rule.name, chosen)] if together else [(_task_name(x), (x,)) for x in chosen]
        for name, members in parts:
            inner = any(x.index != final for x in members)
            options = tuple(o for o in rule.schemes if inner or not o.structured)
            if members and options:
                groups.append(Group(name, members, options, rule.joint, final, where))
    if not taken:
        raise ConfigError(
            f"{source or 'search space'}: no rule is for any layer of the model; its layers are "
            f"{', '.join(f'{x.name} ({x.kind})' for x in layers) or 'none'}"
        )
    _check_names(groups)
    return tuple(groups)


def _check_names(groups: Sequence[Group]) -> None:
    names = [group.name for group in groups]
    layers = [_task_name(x) for group in groups if not group.joint for x in group.layers]
    for group in reversed(groups):
        alone = [_task_name(x) for x in group.layers] == [group.name]
        if names.count(group.name) > 1 or (not alone and group.name in layers):
            raise ConfigError(
                f"{group.where}: the name {group.name!r} is taken: give the rule another 'name'"
            )


def _task_name(layer: LayerInfo) -> str:
    return layer.name or "model"


def _shapes(layers: Sequence[LayerInfo], structured: bool) -> Shapes:
    shapes: list[tuple[int, ...]] = []
    for layer in layers:
        shapes.append(layer.shape)
        if structured:
            shapes += [(layer.shape[0],)] * len(layer.channel_params)
    return tuple(shapes)

"""What a sweep optimizes: metrics with directions, hard limits and a fixed reference point."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from autocompress import catalog, yamlio
from autocompress.errors import ConfigError, unknown
from autocompress.jsonform import require_keys

DIRECTIONS = ("minimize", "maximize")
SCALES = ("linear", "log")
WORSTS = ("reference", "chance")
# what guessing uniformly among the classes gives
_CHANCE: dict[str, Callable[[int], float]] = {
    "accuracy": lambda classes: 1.0 / classes,
    "error": lambda classes: 1.0 - 1.0 / classes,
    "loss": math.log,
}


@dataclass(frozen=True)
class Objective:
    """One metric to optimize.

    Attributes:
        metric: Name of the metric.
        direction: ``"minimize"`` or ``"maximize"``; never guessed.
        scale: ``"log"`` measures progress in powers of ten, for sizes and costs.
        worst: This metric's coordinate of the hypervolume reference point: a number,
            ``"reference"`` (the uncompressed model's own value) or ``"chance"`` (what guessing
            gives: ``1/classes`` for accuracy, ``1 - 1/classes`` for error, ``ln classes`` for
            loss). Default: ``"chance"`` for those three metrics, ``"reference"`` for all others.
        limit: Hard limit, in the metric's unit: at most this for minimize, at least for maximize.

    Raises:
        ConfigError: a value that cannot be used; names the metric, key and what is accepted.
    """

    metric: str
    direction: str
    scale: str = "linear"
    worst: float | str = ""
    limit: float | None = None

    def __post_init__(self) -> None:
        where = f"objective {self.metric!r}"
        if not isinstance(self.metric, str) or not self.metric:
            raise ConfigError(f"an objective's metric is a name, not {self.metric!r}")
        if self.worst == "":
            default = "chance" if self.metric in _CHANCE else "reference"
            object.__setattr__(self, "worst", default)
        _one_of(where, "direction", self.direction, DIRECTIONS)
        _one_of(where, "scale", self.scale, SCALES)
        if isinstance(self.worst, str):
            _one_of(where, "worst", self.worst, WORSTS, "a number")
            if self.worst == "chance" and self.metric not in _CHANCE:
                raise ConfigError(
                    f"{where}: worst = 'chance' only has a meaning for {', '.join(_CHANCE)}; "
                    f"accepted here is 'reference' or a number"
                )
        else:
            self._check_number("worst", self.worst)
        if self.limit is not None:
            self._check_number("limit", self.limit)

    def _check_number(self, key: str, value: object) -> None:
        where = f"objective {self.metric!r}: {key} = {value!r}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{where} is not a number")
        if not math.isfinite(value) or (self.scale == "log" and value <= 0):
            raise ConfigError(
                f"{where}: accepted is a finite number{' above 0' * (self.scale == 'log')}"
            )

    def coordinate(self, value: float) -> float:
        """Return the value as a coordinate to minimise: log10 for the log scale, then the sign."""
        if self.scale == "log":
            value = math.log10(value) if value > 0 else math.nan
        return -value if self.direction == "maximize" else value

    def excess(self, value: float) -> float | None:
        """Return by how much a value breaks the limit, relative to it (<= 0: kept).

        None without a limit. The amount is absolute when the limit is 0.
        """
        if self.limit is None:
            return None
        beyond = value - self.limit if self.direction == "minimize" else self.limit - value
        return beyond / (abs(self.limit) or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "objective") -> Self:
        """Build an objective from its JSON form.

        Raises:
            ConfigError: naming the place, the key and what is accepted.
        """
        if isinstance(data, Mapping) and "metric" in data and "direction" not in data:
            raise ConfigError(
                f"{where}: objective {data['metric']!r} has no direction: "
                f"add 'direction: minimize' or 'direction: maximize'"
            )
        require_keys(data, {"metric", "direction"}, where, ("scale", "worst", "limit"))
        try:
            return cls(**data)
        except ConfigError as error:
            raise type(error)(f"{where}: {error}") from None


@dataclass(frozen=True)
class Objectives:
    """The objectives of a sweep, in order.

    Attributes:
        name: How reports call the set.
        items: The objectives; at least one, on distinct metrics.
        doc: One sentence for ``autocompress list objectives``.
    """

    name: str
    items: tuple[Objective, ...]
    doc: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        if not self.items:
            raise ConfigError(f"objectives {self.name!r}: at least one objective is needed")
        for name in self.names:
            if self.names.count(name) > 1:
                raise ConfigError(f"objectives {self.name!r}: metric {name!r} is there twice")

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names, in order."""
        return tuple(item.metric for item in self.items)

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions, in order."""
        return tuple(item.direction for item in self.items)

    @property
    def resolved(self) -> bool:
        """Whether every ``worst`` is a number."""
        return all(not isinstance(item.worst, str) for item in self.items)

    def __getitem__(self, metric: str) -> Objective:
        for item in self.items:
            if item.metric == metric:
                return item
        raise unknown("objective", metric, self.names)

    def resolve(self, reference: Mapping[str, float], classes: int) -> Objectives:
        """Return the objectives with every ``worst`` a number; done once, then stored.

        Args:
            reference: Metrics of the uncompressed model.
            classes: Number of classes of the data.

        Raises:
            UnknownName: a metric the reference was not measured on.
            ConfigError: a reference value that is not finite, or not above 0 on a log scale.
        """
        items = []
        for item in self.items:
            if item.metric not in reference:
                raise unknown("metric", item.metric, reference, where=f"objectives {self.name!r}")
            worst = item.worst
            if worst == "chance":
                worst = _CHANCE[item.metric](classes)
            elif worst == "reference":
                worst = float(reference[item.metric])
            items.append(dataclasses.replace(item, worst=worst))
        return dataclasses.replace(self, items=tuple(items))

    def to_minimize(self, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
        """Return the metrics as a point to minimise, or None if it cannot be ranked.

        Maximized metrics are negated, log-scaled ones are log10. A point cannot be ranked when a
        metric is missing, not finite, or not above 0 on a log scale.
        """
        point = tuple(item.coordinate(metrics.get(item.metric, math.nan)) for item in self.items)
        return point if all(map(math.isfinite, point)) else None

    def reference_point(self) -> tuple[float, ...]:
        """Return the hypervolume reference point in the coordinates of :meth:`to_minimize`.

        Raises:
            ConfigError: some ``worst`` is still a word, see :meth:`resolve`.
        """
        point = []
        for item in self.items:
            if isinstance(item.worst, str):
                raise ConfigError(
                    f"objective {item.metric!r}: worst = {item.worst!r} is not a number yet: "
                    f"resolve the objectives first"
                )
            point.append(item.coordinate(item.worst))
        return tuple(point)

    def constraints(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the relative excess over each limit whose metric is known (<= 0: kept)."""
        found = {
            item.metric: item.excess(metrics.get(item.metric, math.nan)) for item in self.items
        }
        return {name: x for name, x in found.items() if x is not None and not math.isnan(x)}

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the relative excess (> 0) over each limit that is broken."""
        return {name: x for name, x in self.constraints(metrics).items() if x > 0}

    def with_limits(self, limits: Mapping[str, float]) -> Objectives:
        """Return the objectives with these limits put on their metrics.

        Raises:
            UnknownName: a metric that is not an objective.
        """
        for metric in limits:
            self[metric]
        items = tuple(
            dataclasses.replace(item, limit=limits.get(item.metric, item.limit))
            for item in self.items
        )
        return dataclasses.replace(self, items=items)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        items = [item.to_dict() for item in self.items]
        return {"name": self.name, "doc": self.doc, "objectives": items}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "objectives") -> Self:
        """Build objectives from their JSON form: ``name``, ``doc`` and a list ``objectives``.

        Raises:
            ConfigError: naming the place, the key and what is accepted.
        """
        require_keys(data, {"objectives"}, where, ("name", "doc"))
        items = data["objectives"]
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise ConfigError(f"{where}: objectives: expected a list of objectives, not {items!r}")
        built = [
            Objective.from_dict(item, where=f"{where}: objectives[{i}]")
            for i, item in enumerate(items)
        ]
        try:
            return cls(str(data.get("name", "custom")), tuple(built), str(data.get("doc", "")))
        except ConfigError as error:
            raise type(error)(f"{where}: {error}") from None

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read objectives from a YAML file, given by path or by the name of a ready-made one.

        Raises:
            ConfigError: naming file, key and what is accepted.
        """
        path = catalog.find(catalog.OBJECTIVES, name)
        return cls.from_dict({"name": path.stem, **yamlio.load(path)}, where=str(path))


def _one_of(where: str, key: str, value: object, accepted: Sequence[str], also: str = "") -> None:
    if value not in accepted:
        choices = [repr(choice) for choice in accepted] + ([also] if also else [])
        raise ConfigError(f"{where}: {key} = {value!r}: accepted is {' or '.join(choices)}")

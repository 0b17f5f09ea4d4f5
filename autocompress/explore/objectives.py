"""What a sweep optimizes: metrics with directions, hard limits and a fixed reference point."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from autocompress import catalog, yamlio
from autocompress.errors import ConfigError, unknown
from autocompress.explore.objective import CHANCE, Objective
from autocompress.jsonform import require_keys

__all__ = ["Objective", "Objectives"]


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
                worst = CHANCE[item.metric](classes)
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

"""One metric that a sweep optimizes: its direction, scale, hard limit and worst value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from autocompress.errors import ConfigError
from autocompress.jsonform import require_keys

DIRECTIONS = ("minimize", "maximize")
SCALES = ("linear", "log")
WORSTS = ("reference", "chance")
CHANCE: dict[str, Callable[[int], float]] = {
    "accuracy": lambda classes: 1.0 / classes,
    "error": lambda classes: 1.0 - 1.0 / classes,
    "loss": math.log,
}
"""What guessing uniformly among the classes gives, by metric."""


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
            default = "chance" if self.metric in CHANCE else "reference"
            object.__setattr__(self, "worst", default)
        _one_of(where, "direction", self.direction, DIRECTIONS)
        _one_of(where, "scale", self.scale, SCALES)
        if isinstance(self.worst, str):
            _one_of(where, "worst", self.worst, WORSTS, "a number")
            if self.worst == "chance" and self.metric not in CHANCE:
                raise ConfigError(
                    f"{where}: worst = 'chance' only has a meaning for {', '.join(CHANCE)}; "
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


def _one_of(where: str, key: str, value: object, accepted: Sequence[str], also: str = "") -> None:
    if value not in accepted:
        choices = [repr(choice) for choice in accepted] + ([also] if also else [])
        raise ConfigError(f"{where}: {key} = {value!r}: accepted is {' or '.join(choices)}")

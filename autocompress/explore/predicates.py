"""Which layers a rule is for: their names, their positions, their numbers of weights."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autocompress.errors import ConfigError, unknown
from autocompress.jsonform import require_keys
from autocompress.layers import LayerInfo

_ENDS = ("min", "max")


def named(patterns: Sequence[str], names: Sequence[str], where: str) -> set[str]:
    """Return the names that patterns select, read in order; ``!`` takes names away again.

    Raises:
        UnknownName, ConfigError: a name or pattern that matches none of the names.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        text = pattern.removeprefix("!")
        found = {text} if text in names else {n for n in names if fnmatch.fnmatchcase(n, text)}
        if not found and any(char in text for char in "*?["):
            raise ConfigError(
                f"{where}: the pattern {pattern!r} matches no layer; the model's are "
                f"{', '.join(names) or 'none'}"
            )
        if not found:
            raise unknown("layer", text, names, where=where)
        chosen = chosen - found if pattern.startswith("!") else chosen | found
    return chosen


@dataclass(frozen=True)
class Positions:
    """Positions among the model's layers, from 0; negative ones count from the last layer, -1.

    Attributes:
        numbers: The positions, in any order; empty where ``low`` and ``high`` say it.
        low: First position, included; None for 0.
        high: Last position, included; None for the last layer.
        single: Whether a single position was given, not a list of one.
    """

    numbers: tuple[int, ...] = ()
    low: int | None = None
    high: int | None = None
    single: bool = False

    def select(self, count: int, where: str) -> set[int]:
        """Return the positions from 0 in a model of ``count`` layers.

        Raises:
            ConfigError: a position beyond the model's last or before its first layer.
        """
        for number in self.numbers:
            if not -count <= number < count:
                raise ConfigError(
                    f"{where} = {number}: the model has {count} layers: accepted is "
                    f"{-count} to {count - 1}"
                )
        if self.numbers:
            return {number % count for number in self.numbers}
        low, high = (0 if self.low is None else self.low, -1 if self.high is None else self.high)
        first, last = (end + count if end < 0 else end for end in (low, high))
        return set(range(max(first, 0), min(last + 1, count)))

    def to_data(self) -> Any:
        """Return the YAML data."""
        if self.numbers:
            return self.numbers[0] if self.single else list(self.numbers)
        return _ends(self.low, self.high)

    @classmethod
    def parse(cls, data: Any, where: str) -> Positions:
        """Build positions from an integer, a list of them, or ``{min, max}``.

        Raises:
            ConfigError: naming the place, the value and what is accepted.
        """
        if isinstance(data, Positions):
            return data
        if isinstance(data, Mapping):
            return cls((), *_read_ends(data, where))
        numbers = [data] if _whole(data) else data
        if not isinstance(numbers, Sequence) or not numbers or not all(map(_whole, numbers)):
            raise ConfigError(
                f"{where} = {data!r}: accepted is an integer, a list of them or {{min, max}}"
            )
        return cls(tuple(numbers), single=_whole(data))


@dataclass(frozen=True)
class Sizes:
    """Numbers of weights a layer may have, biases not counted.

    Attributes:
        low: Least number, included; None for any.
        high: Largest number, included; None for any.
    """

    low: int | None = None
    high: int | None = None

    def __contains__(self, layer: LayerInfo) -> bool:
        size = math.prod(layer.shape)
        above = self.low is None or size >= self.low
        return above and (self.high is None or size <= self.high)

    def to_data(self) -> Any:
        """Return the YAML data."""
        return _ends(self.low, self.high)

    @classmethod
    def parse(cls, data: Any, where: str) -> Sizes:
        """Build sizes from ``{min, max}``, one of which may be left out.

        Raises:
            ConfigError: naming the place, the value and what is accepted.
        """
        if isinstance(data, Sizes):
            return data
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} = {data!r}: accepted is {{min, max}}, numbers of weights")
        for key, value in _ends(*_read_ends(data, where)).items():
            if value < 0:
                raise ConfigError(f"{where}.{key} = {value}: accepted is an integer, at least 0")
        return cls(data.get("min"), data.get("max"))


def _read_ends(data: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    require_keys(data, set(), where, _ENDS)
    if not data:
        raise ConfigError(f"{where} = {dict(data)!r}: accepted is min, max or both")
    for key, value in data.items():
        if not _whole(value):
            raise ConfigError(f"{where}.{key} = {value!r}: accepted is an integer")
    low, high = data.get("min"), data.get("max")
    # a negative one counts from the other end, so that it is above or below only its like
    if low is not None and high is not None and (low < 0) == (high < 0) and low > high:
        raise ConfigError(f"{where}: min = {low} is above max = {high}")
    return low, high


def _ends(low: int | None, high: int | None) -> dict[str, int]:
    ends = zip(_ENDS, (low, high), strict=True)
    return {key: value for key, value in ends if value is not None}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

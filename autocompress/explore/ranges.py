"""What may vary in a search space: ranges and choices inside mappings and lists of constants.

A value of a search space is a tree of nodes: :class:`Constant`, :class:`Range`, :class:`Choice`,
:class:`Record` (a mapping) and :class:`Listing` (a list). ``sample`` draws one plain value from it,
asking a :class:`Chooser`. :mod:`autocompress.explore.grammar` builds it from YAML data.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autocompress.errors import ConfigError

Scalar = None | bool | int | float | str


class Chooser(Protocol):
    """Who decides: an Optuna trial, a replay of a stored one, or a stub in a test."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number in [low, high]."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return an integer in [low, high], a whole number of steps above low."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""


class Node(ABC):
    """A part of a search space."""

    @abstractmethod
    def sample(self, chooser: Chooser, name: str) -> Any:
        """Draw a plain value.

        Args:
            chooser: Who decides.
            name: Name of the parameter; parts get names such as ``"NAME.part"``.
        """

    @abstractmethod
    def corners(self) -> Iterator[Any]:
        """Yield values that together reach both ends of every range and every choice.

        A scheme or recipe accepts all of a space when it accepts these, one field varied at a
        time.
        """

    @abstractmethod
    def to_data(self) -> Any:
        """Return the YAML data this is built from."""


@dataclass(frozen=True)
class Constant(Node):
    """A value that does not vary: a scalar or a list of scalars."""

    value: Any

    def sample(self, chooser: Chooser, name: str) -> Any:
        return self.value

    def corners(self) -> Iterator[Any]:
        yield self.value

    def to_data(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Range(Node):
    """A number between two ends, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether powers, not differences, are drawn evenly.
        step: Distance of the values from each other, starting at ``low``.
        integer: Whether values are integers.

    Raises:
        ConfigError: ends or a step that make no range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    def __post_init__(self) -> None:
        for key, value in (("low", self.low), ("high", self.high), ("step", self.step)):
            if value is not None and not _is_number(value):
                raise ConfigError(f"{key} = {value!r} is not a finite number")
            if value is not None and self.integer and value != int(value):
                raise ConfigError(f"{key} = {value!r} is not an integer, as its key needs")
        if not isinstance(self.log, bool):
            raise ConfigError(f"log = {self.log!r}: accepted is true or false")
        if self.low > self.high:
            raise ConfigError(f"low = {self.low!r} is above high = {self.high!r}")
        if self.log and self.low <= 0:
            raise ConfigError(f"low = {self.low!r} with log: accepted is a number above 0")
        if self.step is not None:
            self._check_step(self.step)

    def _check_step(self, step: float) -> None:
        if self.log:
            raise ConfigError(f"step = {step!r} with log: accepted is one of the two")
        if step <= 0:
            raise ConfigError(f"step = {step!r}: accepted is a number above 0")
        steps = (self.high - self.low) / step
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            raise ConfigError(
                f"step = {step!r} does not lead from low = {self.low!r} to high = {self.high!r}"
            )

    def sample(self, chooser: Chooser, name: str) -> float:
        if self.integer:
            step = 1 if self.step is None else int(self.step)
            return chooser.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        low, high = float(self.low), float(self.high)
        return chooser.suggest_float(name, low, high, step=self.step, log=self.log)

    def corners(self) -> Iterator[float]:
        kind = int if self.integer else float
        yield kind(self.low)
        yield kind(self.high)

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            data["log"] = True
        if self.step is not None:
            data["step"] = self.step
        data["type"] = "int" if self.integer else "float"
        return data


@dataclass(frozen=True)
class Choice(Node):
    """One of several values, each of which may hold ranges of its own.

    Attributes:
        options: Label and value of each; the label is what the chooser picks.
    """

    options: tuple[tuple[Scalar, Node], ...]

    def sample(self, chooser: Chooser, name: str) -> Any:
        labels = [label for label, _ in self.options]
        picked = chooser.suggest_categorical(name, labels) if len(labels) > 1 else labels[0]
        found = self.options[labels.index(picked)][1]
        return found.sample(chooser, name if isinstance(found, Constant) else f"{name}.{picked}")

    def corners(self) -> Iterator[Any]:
        for _, node in self.options:
            yield from node.corners()

    def to_data(self) -> dict[str, Any]:
        return {"choice": [node.to_data() for _, node in self.options]}


@dataclass(frozen=True)
class Record(Node):
    """A mapping of names to nodes."""

    fields: tuple[tuple[str, Node], ...]

    def sample(self, chooser: Chooser, name: str) -> dict[str, Any]:
        prefix = f"{name}." if name else ""
        return {key: node.sample(chooser, f"{prefix}{key}") for key, node in self.fields}

    def corners(self) -> Iterator[dict[str, Any]]:
        first = {key: next(node.corners()) for key, node in self.fields}
        yield first
        for key, node in self.fields:
            corners = node.corners()
            next(corners)
            for value in corners:
                yield first | {key: value}

    def to_data(self) -> dict[str, Any]:
        return {key: node.to_data() for key, node in self.fields}


@dataclass(frozen=True)
class Listing(Node):
    """A list of labelled nodes; the labels name the parameters inside."""

    items: tuple[tuple[str, Node], ...]

    def sample(self, chooser: Chooser, name: str) -> list[Any]:
        return [node.sample(chooser, f"{name}.{label}") for label, node in self.items]

    def corners(self) -> Iterator[list[Any]]:
        for values in Record(self.items).corners():
            yield list(values.values())

    def to_data(self) -> list[Any]:
        return [node.to_data() for _, node in self.items]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

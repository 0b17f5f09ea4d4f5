"""Bounds on metrics, absolute or relative to the uncompressed model, and targets made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from autocompress.analysis.units import format_value, parse_quantity, quantity
from autocompress.errors import ConfigError, unknown

_BOUND = re.compile(r"\s*ref(?:erence)?\s*(?:([-+*/])(.*))?", re.IGNORECASE | re.DOTALL)
_TARGET = re.compile(r"\s*([A-Za-z_]\w*)\s*(>=|<=)(.+)", re.DOTALL)


@dataclass(frozen=True)
class Bound:
    """A value, or how it follows from the reference's: ``ref-0.5%``, ``ref*0.9``, ``20KB``.

    Attributes:
        operation: ``"+"``, ``"-"``, ``"*"`` or ``"/"``, applied to the reference's value; empty
            for a value as it is.
        number: The value, or the second operand.
        percent: Whether the operand was written in percent. Added or subtracted, that is points
            of a metric that is a fraction itself (0.5 % of accuracy is 0.005), and a share of the
            reference's value of any other.
    """

    operation: Literal["", "+", "-", "*", "/"]
    number: float
    percent: bool = False

    @classmethod
    def parse(cls, value: float | str, *, where: str = "bound") -> Self:
        """Read a bound: a quantity, ``ref``, or ``ref`` followed by ``+ - * /`` and a quantity.

        Raises:
            ConfigError: it is none; names ``where`` and what is accepted.
        """
        match = _BOUND.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return cls("", parse_quantity(value, where=where))
        operation, text = match[1] or "+", match[2] if match[1] else "0"
        if text.lstrip()[:1] in ("+", "-"):
            raise ConfigError(f"{where}: {value!r} has two signs")
        number = parse_quantity(text, where=f"{where}: {value!r}")
        if operation == "/" and number == 0:
            raise ConfigError(f"{where}: {value!r} divides by zero")
        return cls(operation, number, "%" in text)  # type: ignore[arg-type]

    def value(self, metric: str, reference: Mapping[str, float], *, where: str = "bound") -> float:
        """Return the bound as a number.

        Args:
            metric: Which metric it is a bound on.
            reference: Metrics of the uncompressed model.
            where: File and key, for error messages.

        Raises:
            UnknownName: relative to a metric that the reference was not measured on.
            ConfigError: outside of 0 to 1 for a metric that is a fraction.
        """
        if self.operation and metric not in reference:
            raise unknown("metric of the reference", metric, reference, where=where)
        base = reference[metric] if self.operation else 0.0
        share = self.percent and quantity(metric).kind != "fraction"
        step = self.number * base if share else self.number
        found = {
            "": self.number,
            "+": base + step,
            "-": base - step,
            "*": base * self.number,
            "/": base / (self.number or 1.0),
        }[self.operation]
        if quantity(metric).kind == "fraction" and not 0 <= found <= 1:
            hint = f"; for {found:g} % write {found:g}%" if 1 < found <= 100 else ""
            raise ConfigError(
                f"{where}: {metric} is a fraction from 0 to 1, and the bound is {found:g}{hint}"
            )
        return found


@dataclass(frozen=True)
class Target:
    """What a metric has to reach: ``accuracy>=ref-0.5%``, ``loss<=ref*1.1``, ``accuracy>=97%``.

    Attributes:
        metric: The metric.
        operator: ``">="`` or ``"<="``.
        bound: What it is compared with.
        text: How it was written.
    """

    metric: str
    operator: Literal[">=", "<="]
    bound: Bound
    text: str

    @classmethod
    def parse(cls, text: str, *, where: str = "target") -> Self:
        """Read a target: ``METRIC >= BOUND`` or ``METRIC <= BOUND``, see :class:`Bound`.

        Raises:
            ConfigError: it is none; names ``where`` and what is accepted.
        """
        match = _TARGET.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(
                f"{where} = {text!r}: expected METRIC>=VALUE or METRIC<=VALUE, where VALUE may be "
                f"relative to the reference: accuracy>=ref-0.5%, loss<=ref*1.1, accuracy>=97%"
            )
        bound = Bound.parse(match[3].strip(), where=f"{where} = {text!r}")
        target = cls(match[1], match[2], bound, "".join(text.split()))  # type: ignore[arg-type]
        if not bound.operation:
            target.value({}, where=where)
        return target

    def value(self, reference: Mapping[str, float], *, where: str = "target") -> float:
        """Return the bound as a number; see :meth:`Bound.value`."""
        return self.bound.value(self.metric, reference, where=f"{where} = {self.text!r}")

    def describe(self, reference: Mapping[str, float]) -> str:
        """Write the target with its bound: ``accuracy >= 97.50 %``."""
        return f"{self.metric} {self.operator} {format_value(self.metric, self.value(reference))}"

    def __str__(self) -> str:
        return self.text

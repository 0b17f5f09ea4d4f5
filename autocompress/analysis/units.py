"""How numbers are written for people and read from them: sizes, percentages, counts, times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from autocompress.errors import ConfigError

Kind = Literal["bytes", "fraction", "count", "time", "ratio", "plain"]

_SUFFIXES = {
    "": 1.0,
    "%": 0.01,
    "b": 1.0,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "us": 1e-3,
    "ms": 1.0,
    "s": 1e3,
}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*|%)\s*")


@dataclass(frozen=True)
class Quantity:
    """What a metric measures, for labels.

    Attributes:
        label: A few words, lower case: ``"packed file size"``.
        kind: How values are written: ``"bytes"`` as KB or MB (powers of 1000), ``"fraction"`` in
            percent, ``"count"`` as K or M, ``"time"`` in milliseconds, ``"ratio"`` with a ×.
    """

    label: str
    kind: Kind = "plain"


_KNOWN = {
    "accuracy": Quantity("accuracy", "fraction"),
    "error": Quantity("error", "fraction"),
    "loss": Quantity("loss"),
    "bytes": Quantity("packed file size", "bytes"),
    "ratio": Quantity("compression ratio", "ratio"),
    "nonzeros": Quantity("nonzero weights", "count"),
    "flops": Quantity("FLOPs", "count"),
    "params": Quantity("parameters", "count"),
    "latency": Quantity("latency, median", "time"),
    "latency_p50": Quantity("latency, median", "time"),
    "latency_p90": Quantity("latency, p90", "time"),
    "latency_p99": Quantity("latency, p99", "time"),
    "latency_ratio": Quantity("latency / reference", "ratio"),
}


def quantity(metric: str) -> Quantity:
    """Return what a metric measures; a metric nothing is known of is called by its own name."""
    if metric in _KNOWN:
        return _KNOWN[metric]
    words = metric.split("_")
    label = " ".join(words)
    if words[-1] == "bytes":
        return Quantity(label, "bytes")
    if words[-1] in ("ratio", "speedup"):
        return Quantity(label, "ratio")
    if words[0] == "latency":
        return Quantity(label, "time")
    if words[0] == "accuracy" or words[-1] == "accuracy":
        return Quantity(label, "fraction")
    return Quantity(label)


def parse_quantity(value: float | str, *, where: str = "value") -> float:
    """Read a number with an optional suffix.

    ``"20KB"`` is 20,000, ``"20KiB"`` 20,480, ``"5M"`` 5,000,000, ``"97%"`` 0.97, ``"2ms"`` 2 (times
    are in milliseconds); upper or lower case, with or without a space. Numbers are returned as
    they are.

    Raises:
        ConfigError: not such a text, or not a finite number; names ``where``.
    """
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        suffix = match[2].lower() if match else ""
        if match is None or suffix not in _SUFFIXES:
            raise ConfigError(
                f"{where}: cannot read {value!r}; expected a number, optionally followed by "
                f"B, KB, MB, GB (powers of 1000), KiB, MiB, GiB (powers of 1024), K, M, G, %, "
                f"us, ms or s"
            )
        result = float(match[1]) * _SUFFIXES[suffix]
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{where}: {value!r} is not a number")
    else:
        result = float(value)
    if not math.isfinite(result):
        raise ConfigError(f"{where}: {value!r} is not a finite number")
    return result


def format_value(metric: str, value: float) -> str:
    """Write a metric's value for people: ``20.3 KB``, ``97.12 %``, ``1.23 M``, ``0.52 ms``."""
    return format_kind(quantity(metric).kind, value)


def format_kind(kind: Kind, value: float) -> str:
    """Write a value of one kind for people; not finite values are written ``n/a``."""
    if not math.isfinite(value):
        return "n/a"
    if kind == "bytes":
        return _scaled(value, (("B", 1), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)))
    if kind == "count":
        return _scaled(value, (("", 1), ("K", 1e3), ("M", 1e6), ("G", 1e9)))
    if kind == "fraction":
        return f"{100 * value:.2f} %"
    if kind == "time":
        return f"{_three(value)} ms"
    if kind == "ratio":
        return f"{_three(value)}×"
    return f"{value:.4g}"


def _scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """Write in the largest unit that leaves at least one before the point, three digits."""
    name, size = units[0]
    for candidate, factor in units:
        # 999.6 is written 1000 with three digits, and so belongs to the next unit
        if abs(value) >= 0.9995 * factor:
            name, size = candidate, factor
    return f"{_three(value / size)} {name}".rstrip()


def _three(value: float) -> str:
    """Write three significant digits without an exponent, in a readable range."""
    if value == 0 or not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    rounded = abs(float(f"{value:.3g}"))  # 0.9996 has the digits of 1.00
    digits = max(0, 2 - math.floor(math.log10(rounded)))
    return f"{value:.{digits}f}"

"""JSON values: the keys that they must have, a digest that identifies them, changes to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from autocompress.errors import ConfigError, unknown


def digest_of(data: object) -> str:
    """Return 16 hex digits identifying a JSON value."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def require_keys(data: object, keys: set[str], where: str, optional: Iterable[str] = ()) -> None:
    """Raise unless ``data`` is a mapping with all of ``keys`` and no others but ``optional``."""
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{where}: expected a mapping with {', '.join(sorted(keys))}, not {data!r}"
        )
    for key in data:
        if key not in keys and key not in set(optional):
            raise unknown("key", key, keys | set(optional), where=where)
    missing = keys - set(data)
    if missing:
        raise ConfigError(f"{where}: the key {sorted(missing)[0]!r} is missing")


def override(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested mappings with values put in by dotted key.

    Raises:
        ConfigError: a key that leads through something that is not a mapping.
    """
    result = dict(values)
    for key, value in overrides.items():
        first, _, rest = key.partition(".")
        if not rest:
            result[first] = value
            continue
        inner = result.get(first, {})
        if inner is None or isinstance(inner, bool):  # a switch: its settings take its place
            inner = {}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{key}: {first!r} is {inner!r}, which has no keys of its own")
        result[first] = override(inner, {rest: value})
    return result

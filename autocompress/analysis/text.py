"""A candidate's plan in words, from its JSON form alone: extensions need not be known here."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from autocompress.compression import SCHEMES


def plan_text(candidate: Mapping[str, Any] | None) -> str:
    """Return a plan as one line: ``fc1: prune(density=0.05); fc2: codebook(k=4)``.

    Fields that are as by default are left out; a norm other than the identity is named. Empty
    without a candidate, ``"dense"`` for a plan that compresses nothing.
    """
    if candidate is None:
        return ""
    return "; ".join(map(_task, candidate.get("tasks", []))) or "dense"


def plan_summary(candidate: Mapping[str, Any] | None) -> str:
    """Return which schemes a plan uses and how often: ``2 prune, 1 codebook``."""
    if candidate is None:
        return ""
    found = Counter(_kinds(task.get("compression", {})) for task in candidate.get("tasks", []))
    return ", ".join(f"{count} {kind}" for kind, count in found.most_common()) or "dense"


def _task(task: Mapping[str, Any]) -> str:
    norm = task.get("weighting", "identity")
    text = f"{task.get('name', '?')}: {_scheme(task.get('compression', {}))}"
    return text if norm == "identity" else f"{text} in the {norm} norm"


def _scheme(data: Mapping[str, Any]) -> str:
    name = str(data.get("scheme", "?"))
    if "of" in data:
        joint = {"compose": " then ", "additive": " + "}.get(name, ", ")
        return joint.join(_scheme(term) for term in data["of"])
    usual = _defaults(name)
    told = {k: v for k, v in data.items() if k != "scheme" and (k not in usual or v != usual[k])}
    values = ", ".join(f"{key}={_short(value)}" for key, value in told.items())
    return f"{name}({values})" if values else name


def _defaults(name: str) -> dict[str, Any]:
    """Return the default values of a built-in scheme's fields."""
    if name not in SCHEMES:
        return {}
    fields = dataclasses.fields(SCHEMES[name])  # type: ignore[arg-type]
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def _kinds(data: Mapping[str, Any]) -> str:
    if "of" in data:
        return "+".join(_kinds(term) for term in data["of"])
    return str(data.get("scheme", "?"))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""A candidate's plan in words, from its JSON form alone (no scheme has to be known here)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


def plan_text(candidate: Mapping[str, Any] | None) -> str:
    """Return a plan as one line: ``fc1: prune(density=0.05); fc2: codebook(k=4)``.

    Empty without a candidate, ``"dense"`` for a plan that compresses nothing.
    """
    if candidate is None:
        return ""
    tasks = candidate.get("tasks", [])
    parts = [f"{task.get('name', '?')}: {_scheme(task.get('compression', {}))}" for task in tasks]
    return "; ".join(parts) or "dense"


def plan_summary(candidate: Mapping[str, Any] | None) -> str:
    """Return which schemes a plan uses and how often: ``2 prune, 1 codebook``."""
    if candidate is None:
        return ""
    found = Counter(_kinds(task.get("compression", {})) for task in candidate.get("tasks", []))
    return ", ".join(f"{count} {kind}" for kind, count in found.most_common()) or "dense"


def _scheme(data: Mapping[str, Any]) -> str:
    name = str(data.get("scheme", "?"))
    if "of" in data:
        joint = {"compose": " then ", "additive": " + "}.get(name, ", ")
        return joint.join(_scheme(term) for term in data["of"])
    values = ", ".join(f"{key}={_short(v)}" for key, v in data.items() if key != "scheme")
    return f"{name}({values})" if values else name


def _kinds(data: Mapping[str, Any]) -> str:
    if "of" in data:
        return "+".join(_kinds(term) for term in data["of"])
    return str(data.get("scheme", "?"))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

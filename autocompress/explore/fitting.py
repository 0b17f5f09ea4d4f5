"""Sampled schemes fitted to the weights they meet: relative ranks, codebooks not too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autocompress.compression import Compression, from_dict
from autocompress.compression.base import Shapes, total_numel
from autocompress.compression.lowrank import matrix_shape
from autocompress.errors import ConfigError

FRACTION = "rank_fraction"


def fit(values: Mapping[str, Any], shapes: Shapes, *, where: str = "") -> Compression:
    """Build a sampled scheme for weights of given shapes.

    ``rank_fraction`` becomes a rank: that part of the full rank, rounded, at least 1. A codebook
    of more entries than there are numbers to quantize gets as many entries as there are.

    Args:
        values: The scheme's JSON form, with ``rank_fraction`` in place of ``rank`` if you like.
        shapes: Shapes of the task's tensors.
        where: File and key, for error messages.

    Raises:
        SchemeError, ConfigError: the scheme cannot apply to such weights.
    """
    fitted, _ = _fit(values, shapes, where)
    compression = from_dict(fitted, where=where)
    compression.check(shapes)
    return compression


def build_any(values: Mapping[str, Any], *, where: str = "") -> Compression:
    """Build a sampled scheme before any weights are known; relative ranks become 1.

    Raises:
        SchemeError, ConfigError: values no weights could accept.
    """
    return from_dict(_unranked(values, where), where=where)


def has_fraction(values: Mapping[str, Any]) -> bool:
    """Return whether a rank in the scheme is relative to the full rank."""
    return FRACTION in values or any(has_fraction(term) for term in values.get("of", ()))


def _unranked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = dict(values)
    if FRACTION in result:
        fraction = result.pop(FRACTION)
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
            raise ConfigError(f"{where}.{FRACTION} = {fraction!r} is not a number in (0, 1]")
        if not 0 < fraction <= 1:
            raise ConfigError(f"{where}.{FRACTION} = {fraction!r} is not in (0, 1]")
        if "rank" in result:
            raise ConfigError(f"{where}: accepted is one of rank and {FRACTION}, not both")
        result["rank"] = 1
    if "of" in result:
        result["of"] = [_unranked(term, f"{where}.of[{i}]") for i, term in enumerate(result["of"])]
    return result


def _fit(values: Mapping[str, Any], shapes: Shapes, where: str) -> tuple[dict[str, Any], Shapes]:
    """Return the scheme's JSON form and the shapes of the numbers it leaves free."""
    result = dict(values)
    match values["scheme"]:
        case "compose":
            result["of"] = []
            for i, term in enumerate(values["of"]):
                fitted, free = _fit(term, shapes, f"{where}.of[{i}]")
                from_dict(fitted).check(shapes)  # Compose itself can only check its first scheme
                result["of"].append(fitted)
                shapes = free
        case "additive":
            terms = enumerate(values["of"])
            result["of"] = [_fit(term, shapes, f"{where}.of[{i}]")[0] for i, term in terms]
        case "prune":
            shapes = ((max(1, round(values["density"] * total_numel(shapes))),),)
        case "structure-prune":
            shapes = ((_least_kept(values["density"], shapes),),)
        case "codebook":
            result["k"] = min(values["k"], total_numel(shapes))
            shapes = ((result["k"],),)
        case "low-rank":
            return _fit_rank(result, shapes, where)
    return result, shapes


def _least_kept(density: float, shapes: Shapes) -> int:
    """Return the fewest weights that can survive: which channels do depends on the weights."""
    weights = [shape for shape in shapes if len(shape) > 1]
    kept = max(len(weights), round(density * sum(shape[0] for shape in weights)))
    return kept * min((total_numel((shape[1:],)) for shape in weights), default=1)


def _fit_rank(values: dict[str, Any], shapes: Shapes, where: str) -> tuple[dict[str, Any], Shapes]:
    conv = values.get("conv", "channel")
    matrices = [matrix_shape(shape, conv) for shape in shapes if len(shape) > 1]
    if FRACTION in values:
        full = sorted({min(matrix) for matrix in matrices})
        if len(full) != 1:
            raise ConfigError(
                f"{where}: {FRACTION} needs one full rank, not {full or 'none'}: give 'rank', or "
                f"make one task per layer"
            )
        values["rank"] = max(1, round(values.pop(FRACTION) * full[0]))
    factors: list[tuple[int, ...]] = []
    for rows, columns in matrices:
        rank = min(values["rank"], rows, columns)
        factors += [(rows, rank), (rank, columns)]
    return values, tuple(factors)

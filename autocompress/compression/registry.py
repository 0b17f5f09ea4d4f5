"""The schemes by name, and their JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from autocompress.compression.base import Code, Compression
from autocompress.compression.block import BlockCode, BlockPrune
from autocompress.compression.codebook import Codebook, CodebookCode
from autocompress.compression.combine import Additive, AdditiveCode, Compose
from autocompress.compression.dense import Cast, Dense, DenseCode
from autocompress.compression.factors import LowRankCode
from autocompress.compression.global_rank import GlobalRank
from autocompress.compression.l1ball import L1Ball
from autocompress.compression.lowrank import LowRank
from autocompress.compression.nm import NMCode, NMPrune
from autocompress.compression.prune import Prune, SparseCode
from autocompress.compression.rank_selection import RankSelection
from autocompress.compression.sparse_penalty import L0Penalty, L1Penalty
from autocompress.compression.structure import StructureCode, StructurePrune
from autocompress.compression.uniform import Uniform
from autocompress.compression.uniform_code import UniformCode
from autocompress.errors import SchemeError, unknown

SCHEMES: dict[str, type[Compression]] = {
    scheme.name: scheme
    for scheme in (
        Dense, Prune, L1Ball, L0Penalty, L1Penalty, NMPrune, Codebook, LowRank, RankSelection, GlobalRank, StructurePrune, BlockPrune, Uniform, Cast, Compose, Additive
    )
}

CODES: dict[str, type[Code]] = {
    code.kind: code
    for code in (
        DenseCode, SparseCode, NMCode, CodebookCode, LowRankCode, StructureCode, BlockCode, AdditiveCode, UniformCode
    )
}


def to_dict(compression: Compression) -> dict[str, Any]:
    """Return the JSON form of a scheme: ``{"scheme": "prune", "density": 0.05}``."""
    result: dict[str, Any] = {"scheme": compression.name}
    for field in dataclasses.fields(compression):  # type: ignore[arg-type]
        value = getattr(compression, field.name)
        if value in (None, ()) and value == field.default:
            continue  # left open, or filled in only when a model is met
        result[field.name] = [to_dict(v) for v in value] if field.name == "of" else _lists(value)
    return result


def from_dict(data: Mapping[str, Any], *, where: str = "") -> Compression:
    """Build a scheme from its JSON form.

    Args:
        data: ``scheme`` and the scheme's own fields; ``of`` holds nested schemes.
        where: What to call the place in error messages (a file and key).

    Raises:
        UnknownName: the scheme, or one of its fields, does not exist.
        SchemeError: a field's value cannot be used.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping) or "scheme" not in data:
        raise SchemeError(f"{prefix}a scheme is a mapping with the key 'scheme', not {data!r}")
    name = data["scheme"]
    if not isinstance(name, str) or name not in SCHEMES:
        raise unknown("scheme", name, SCHEMES, where=where)
    cls = SCHEMES[name]
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key == "scheme":
            continue
        if key not in fields:
            raise unknown(f"key of scheme {name!r}", key, fields, where=where)
        if key == "of":
            if not isinstance(value, (list, tuple)):
                raise SchemeError(f"{prefix}of: expected a list of schemes, not {value!r}")
            value = [from_dict(v, where=f"{where}.of[{i}]") for i, v in enumerate(value)]
        values[key] = value if key == "of" else _tuples(value)
    required = (dataclasses.MISSING, dataclasses.MISSING)
    missing = [
        key
        for key, f in fields.items()
        if key not in values and (f.default, f.default_factory) == required
    ]
    if missing:
        raise SchemeError(f"{prefix}scheme {name!r} needs {', '.join(missing)}")
    try:
        return cls(**values)
    except SchemeError as error:
        raise SchemeError(f"{prefix}{name}: {error}") from None


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

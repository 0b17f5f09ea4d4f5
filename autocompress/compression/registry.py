"""The schemes by name, and their JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from autocompress.compression.base import Code, Compression
from autocompress.compression.codebooks.binary import Binary, BinaryScale
from autocompress.compression.codebooks.codebook import Codebook, CodebookCode, GroupedCodebookCode
from autocompress.compression.codebooks.levels import LevelsCode
from autocompress.compression.codebooks.powers_of_two import PowersOfTwo
from autocompress.compression.codebooks.ternary import Ternary, TernaryScale
from autocompress.compression.combinations.additive import Additive, AdditiveCode
from autocompress.compression.combinations.compose import Compose
from autocompress.compression.dense import Cast, Dense, DenseCode
from autocompress.compression.extension import extensions
from autocompress.compression.factorized.factors import LowRankCode
from autocompress.compression.factorized.global_rank import GlobalRank
from autocompress.compression.factorized.lowrank import LowRank
from autocompress.compression.factorized.rank_selection import RankSelection
from autocompress.compression.grids.code import UniformCode
from autocompress.compression.grids.uniform import Uniform
from autocompress.compression.pruning.l1ball import L1Ball
from autocompress.compression.pruning.nm import NMCode, NMPrune
from autocompress.compression.pruning.prune import Prune, SparseCode
from autocompress.compression.pruning.sparse_penalty import L0Penalty, L1Penalty
from autocompress.compression.structured.block import BlockCode, BlockPrune
from autocompress.compression.structured.structure import StructureCode, StructurePrune
from autocompress.errors import SchemeError, unknown

SCHEMES: dict[str, type[Compression]] = {
    scheme.name: scheme
    for scheme in (
        Dense,
        Prune,
        L1Ball,
        L0Penalty,
        L1Penalty,
        NMPrune,
        Codebook,
        Binary,
        BinaryScale,
        Ternary,
        TernaryScale,
        PowersOfTwo,
        LowRank,
        RankSelection,
        GlobalRank,
        StructurePrune,
        BlockPrune,
        Uniform,
        Cast,
        Compose,
        Additive,
    )
}

CODES: dict[str, type[Code]] = {
    code.kind: code
    for code in (
        DenseCode,
        SparseCode,
        NMCode,
        CodebookCode,
        GroupedCodebookCode,
        LevelsCode,
        LowRankCode,
        StructureCode,
        BlockCode,
        AdditiveCode,
        UniformCode,
    )
}


def to_dict(compression: Compression) -> dict[str, Any]:
    """Return the JSON form of a scheme: ``{"scheme": "prune", "density": 0.05}``.

    An extension's name is ``module:Class``.
    """
    if isinstance(compression, extensions.Unknown):
        return compression.to_dict()
    result: dict[str, Any] = {"scheme": name_of(type(compression))}
    for field in dataclasses.fields(compression):  # type: ignore[arg-type]
        value = getattr(compression, field.name)
        if value in (None, ()) and value == field.default:
            continue  # left open, or filled in only when a model is met
        result[field.name] = [to_dict(v) for v in value] if field.name == "of" else _lists(value)
    return result


def name_of(cls: type[Compression]) -> str:
    """Return the name of a class of schemes in JSON and YAML."""
    return cls.name if SCHEMES.get(cls.name) is cls else extensions.reference(cls)


def find_scheme(name: object, *, where: str = "") -> type[Compression]:
    """Return a class of schemes by name; imports nothing.

    Where files are read that came from elsewhere, it is ``Unknown`` for an extension that is not
    known here; see :mod:`autocompress.compression.extension.extensions`.

    Raises:
        UnknownName: there is no such scheme.
        SchemeError: an extension that is not known here.
    """
    if isinstance(name, str) and ":" in name:
        found = extensions.find(name)
        if found is None and not extensions.keeps_unknown():
            prefix = f"{where}: " if where else ""
            raise SchemeError(
                f"{prefix}scheme {name!r} is code of another package, which is only imported for a "
                f"plan, search space or sweep of your own: read those with Candidate.load, "
                f"SearchSpace.load or Sweep, or hand the class to autocompress.register"
            )
        return found or extensions.Unknown
    if not isinstance(name, str) or name not in SCHEMES:
        raise unknown("scheme", name, [*SCHEMES, "module:Class"], where=where)
    return SCHEMES[name]


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
    cls = find_scheme(name, where=where)
    if cls is extensions.Unknown:
        rest = {key: value for key, value in data.items() if key != "scheme"}
        return extensions.Unknown(name, json.dumps(rest))
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
        said = str(error)
        raise SchemeError(prefix + (said if said.startswith(name) else f"{name}: {said}")) from None


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

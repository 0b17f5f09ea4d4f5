"""The packed file: a compressed model in one safetensors container.

Its text says what the model is (plan, code trees, uncompressed tensors, info); its data are all
buffers, byte-aligned, one after the other in the order the text names them, so that no two can
overlap. Nothing in a file is ever executed or imported, and nothing is believed unchecked.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from autocompress.compression.base import Code, numel
from autocompress.compression.extension import extensions
from autocompress.errors import (
    AutocompressError,
    ConfigError,
    MissingExtra,
    PackedFileError,
    PlanError,
)
from autocompress.jsonform import require_keys
from autocompress.plan import Plan
from autocompress.storage import atomic, codec, container
from autocompress.storage.buffers import PlainReader, PlainWriter, Reader, Writer, described


@dataclass(frozen=True, eq=False)
class PackedModel:
    """Everything in a packed file.

    Attributes:
        plan: The resolved plan: its tasks name parameters exactly.
        codes: The code of each task, by the task's name.
        rest: All other entries of the model's ``state_dict``, uncompressed.
        info: JSON values that help people (recipe, model name, history …); decoding needs none.

    Raises:
        PlanError: the codes are not those of the plan, or an entry is both coded and in the rest.
    """

    plan: Plan
    codes: dict[str, Code]
    rest: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [task.name for task in self.plan.tasks]
        if set(names) != set(self.codes):
            raise PlanError(f"codes of {sorted(self.codes)} for the tasks {sorted(names)}")
        coded = [name for task in self.plan.tasks for name in task.params]
        twice = {name for name in coded if coded.count(name) > 1} | (set(coded) & set(self.rest))
        if twice:
            raise PlanError(f"stored twice: {', '.join(sorted(twice))}")

    def weights(self) -> dict[str, Tensor]:
        """Return the decoded weights of every task, by parameter name.

        Raises:
            PlanError: a code does not decode to as many tensors as its task has parameters.
        """
        decoded: dict[str, Tensor] = {}
        for task in self.plan.tasks:
            tensors = self.codes[task.name].decode()
            if len(tensors) != len(task.params):
                raise PlanError(
                    f"task {task.name!r} has {len(task.params)} parameters, "
                    f"its code decodes to {len(tensors)}"
                )
            decoded.update(zip(task.params, tensors, strict=True))
        return decoded

    def state_dict(self) -> dict[str, Tensor]:
        """Return the model's entries, decoded weights and rest, by name."""
        return self.weights() | self.rest


def pack(model: PackedModel, *, entropy: bool = False) -> bytes:
    """Return exactly the bytes of the packed file; the same model always gives the same ones.

    Args:
        model: The model.
        entropy: Whether to entropy-code it: smaller, slower, and it takes the library
            ``constriction`` (``autocompress[entropy]``) to write and to read.

    Raises:
        ConfigError: ``info`` holds what JSON cannot, or a tensor has a dtype no file can hold.
        MissingExtra: ``entropy`` without that library.
    """
    return pack_parts(model, entropy=entropy)[0]


def pack_parts(model: PackedModel, *, entropy: bool = False) -> tuple[bytes, int]:
    """Return the bytes of the packed file, and how many of them are the buffers' data."""
    writer = _writer(entropy)
    fields: dict[str, Any] = {
        "plan": model.plan.to_dict(),
        "codes": [writer.code(model.codes[task.name]) for task in model.plan.tasks],
        "rest": {name: writer.tensor(tensor) for name, tensor in model.rest.items()},
    }
    fields["info"] = _info(model.info)
    data = writer.finish()
    text = json.dumps(fields, separators=(",", ":"))
    return (container.build_coded if entropy else container.build)(text, data), len(data)


def write(path: str | os.PathLike[str], model: PackedModel, *, entropy: bool = False) -> int:
    """Write a packed file in one step; return its size in bytes.

    Raises:
        ConfigError, MissingExtra: see :func:`pack`.
        OSError: the file cannot be written; one already there stays as it was.
    """
    data = pack(model, entropy=entropy)
    atomic.write_bytes(path, data)
    return len(data)


def read(
    path: str | os.PathLike[str],
    codes: Iterable[type[Code]] = (),
    *,
    schemes: Iterable[extensions.SchemeLike] = (),
    max_elements: int = codec.MAX_ELEMENTS,
) -> PackedModel:
    """Read a packed file; its weights decode to exactly the bits that were packed.

    Args:
        path: The file, entropy-coded or not.
        codes: Code classes of your own that the file may hold, besides the built-in ones.
        schemes: Schemes of your own that the file may name, and whose codes it may hold. One that
            is not known here stays a placeholder in the plan: decoding needs the codes only.
        max_elements: Largest number of elements that the codes may announce, all nodes of all
            trees together: a file of a few bytes can announce terabytes of zeros.

    Returns:
        The model, its tensors on the CPU.

    Raises:
        PackedFileError: the file is missing, truncated, damaged, hostile, of a newer version or
            not ours; the message names the file and the reason.
        MissingExtra: it is entropy-coded, and the library for that is not installed.
    """
    content = container.load(path)
    try:
        with extensions.reading(schemes):
            return _unpack(content, codec.known(codes), max_elements)
    except MissingExtra:
        raise
    except (AutocompressError, *codec.CONTRADICTIONS) as error:
        raise PackedFileError(f"{path}: damaged or not usable here: {error}") from error


def _unpack(
    content: container.Content, kinds: Mapping[str, type[Code]], max_elements: int
) -> PackedModel:
    fields = json.loads(content.text)
    require_keys(fields, {"plan", "codes", "rest", "info"}, "text")
    plan = Plan.from_dict(fields["plan"])
    nodes, rest, info = fields["codes"], fields["rest"], fields["info"]
    if not isinstance(nodes, list) or len(nodes) != len(plan.tasks):
        raise ValueError("it does not hold one code for each task")
    if not isinstance(rest, dict) or not isinstance(info, dict):
        raise ValueError("rest and info must be mappings")
    # coded tensors can announce any size too; plain ones have to be there
    others = sum(numel(described(value)[1]) for value in rest.values()) if content.coded else 0
    announced = codec.check_size(nodes, max_elements, others)
    reader = _reader(content, kinds, announced)
    restored = {task.name: reader.code(node) for task, node in zip(plan.tasks, nodes, strict=True)}
    uncoded = {name: reader.tensor(value) for name, value in rest.items()}
    reader.finish()
    model = PackedModel(plan, restored, uncoded, info)
    model.weights()  # whatever cannot be decoded shall be told now, not when it is used
    return model


def entropy_coder() -> object:
    """Return the library that codes entropy-coded files.

    Raises:
        MissingExtra: it is not installed; the message says how to install it.
    """
    from autocompress.storage.entropy.coder import library

    return library()


def _writer(entropy: bool) -> Writer:
    if not entropy:
        return PlainWriter()
    from autocompress.storage.entropy.tree import CodedWriter

    return CodedWriter()


def _reader(content: container.Content, kinds: Mapping[str, type[Code]], announced: int) -> Reader:
    if not content.coded:
        return PlainReader(content.data, kinds, announced)
    from autocompress.storage.entropy.tree import CodedReader

    return CodedReader(content.data, kinds, announced)


def _info(info: Mapping[str, Any]) -> Any:
    try:
        # sorted, so that how a mapping was filled does not show in the file
        return json.loads(json.dumps(_finite(info), sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"info of a packed model must be JSON: {error}") from error


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

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

import torch
from torch import Tensor

from autocompress.compression.base import Code, numel
from autocompress.errors import AutocompressError, ConfigError, PackedFileError, PlanError
from autocompress.plan import Plan, require_keys
from autocompress.storage import atomic, codec, container

DTYPES = {
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


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


def pack(model: PackedModel) -> bytes:
    """Return exactly the bytes of the packed file; the same model always gives the same ones.

    Raises:
        ConfigError: ``info`` holds what JSON cannot, or a tensor has a dtype no file can hold.
    """
    return pack_parts(model)[0]


def pack_parts(model: PackedModel) -> tuple[bytes, int]:
    """Return the bytes of the packed file, and how many of them are the buffers' data."""
    buffers: list[bytes] = []

    def store(path: str, tensor: Tensor) -> list[str | int]:
        del path
        name, data = _to_bytes(tensor)
        buffers.append(data)
        return [name, tensor.numel()]

    fields: dict[str, Any] = {
        "plan": model.plan.to_dict(),
        "codes": [codec.take_apart(model.codes[task.name], store) for task in model.plan.tasks],
        "rest": {
            name: [store(name, tensor)[0], list(tensor.shape)]
            for name, tensor in model.rest.items()
        },
    }
    fields["info"] = _info(model.info)
    data = b"".join(buffers)
    return container.build(json.dumps(fields, separators=(",", ":")), data), len(data)


def write(path: str | os.PathLike[str], model: PackedModel) -> int:
    """Write a packed file in one step; return its size in bytes.

    Raises:
        ConfigError: see :func:`pack`.
        OSError: the file cannot be written; one already there stays as it was.
    """
    data = pack(model)
    atomic.write_bytes(path, data)
    return len(data)


def read(
    path: str | os.PathLike[str],
    codes: Iterable[type[Code]] = (),
    *,
    max_elements: int = codec.MAX_ELEMENTS,
) -> PackedModel:
    """Read a packed file; its weights decode to exactly the bits that were packed.

    Args:
        path: The file.
        codes: Code classes of your own that the file may hold, besides the built-in ones.
        max_elements: Largest number of elements that the codes may announce, all nodes of all
            trees together: a file of a few bytes can announce terabytes of zeros.

    Returns:
        The model, its tensors on the CPU.

    Raises:
        PackedFileError: the file is missing, truncated, damaged, hostile, of a newer version or
            not ours; the message names the file and the reason.
    """
    text, data = container.parse(path)
    try:
        return _unpack(text, data, codes, max_elements)
    except (AutocompressError, *codec.CONTRADICTIONS) as error:
        raise PackedFileError(f"{path}: damaged or not usable here: {error}") from error


def _unpack(text: str, data: bytes, codes: Iterable[type[Code]], max_elements: int) -> PackedModel:
    fields = json.loads(text)
    require_keys(fields, {"plan", "codes", "rest", "info"}, "text")
    plan = Plan.from_dict(fields["plan"])
    nodes, rest, info = fields["codes"], fields["rest"], fields["info"]
    if not isinstance(nodes, list) or len(nodes) != len(plan.tasks):
        raise ValueError("it does not hold one code for each task")
    if not isinstance(rest, dict) or not isinstance(info, dict):
        raise ValueError("rest and info must be mappings")
    codec.check_size(nodes, max_elements)
    buffers = _Buffers(data)
    kinds = codec.known(codes)
    restored = {
        task.name: codec.put_together(node, buffers.flat, kinds, max_elements)
        for task, node in zip(plan.tasks, nodes, strict=True)
    }
    uncoded = {name: buffers.shaped(value) for name, value in rest.items()}
    buffers.finish()
    model = PackedModel(plan, restored, uncoded, info)
    model.weights()  # whatever cannot be decoded shall be told now, not when it is used
    return model


class _Buffers:
    """Cuts the data into buffers, in the order they were stored."""

    def __init__(self, data: bytes) -> None:
        # a bytearray, because torch warns of memory it may not write to
        self._data = torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)[: len(data)]
        self._used = 0

    def flat(self, value: object) -> Tensor:
        """Return the next buffer, described by ``[dtype, count]``, as a vector."""
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f"{str(value)[:40]} does not describe a buffer")
        name, count = value
        (count,) = codec.checked_shape([count])
        return self._take(name, count)

    def shaped(self, value: object) -> Tensor:
        """Return the next buffer, described by ``[dtype, shape]``, as a tensor of that shape."""
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f"{str(value)[:40]} does not describe a tensor")
        shape = codec.checked_shape(value[1])
        return self._take(value[0], numel(shape)).reshape(shape)

    def _take(self, name: object, count: int) -> Tensor:
        if not isinstance(name, str) or name not in DTYPES:
            raise ValueError(f"unknown dtype {str(name)[:40]}: known are {', '.join(DTYPES)}")
        dtype = DTYPES[name]
        end = self._used + count * dtype.itemsize
        if end > len(self._data):
            raise ValueError(f"a buffer ends at byte {end} of {len(self._data)}")
        # a copy is aligned for its dtype, and keeps nothing else alive
        raw = self._data[self._used : end].clone()
        self._used = end
        return raw != 0 if dtype == torch.bool else raw.view(dtype)

    def finish(self) -> None:
        """Raise ValueError unless all data have been used."""
        if self._used != len(self._data):
            raise ValueError(f"{len(self._data) - self._used} bytes of data belong to nothing")


def _to_bytes(tensor: Tensor) -> tuple[str, bytes]:
    """Return a tensor's dtype and its elements in row-major order, little endian."""
    if tensor.dtype not in _NAMES:
        raise ConfigError(f"a packed file cannot hold {tensor.dtype}: {', '.join(DTYPES)}")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return _NAMES[tensor.dtype], flat.view(torch.uint8).numpy().tobytes()


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

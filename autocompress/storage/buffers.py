"""Buffers as they are: tensors to bytes and back, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from autocompress.compression.base import Code, numel
from autocompress.errors import ConfigError
from autocompress.storage import codec

DTYPES = {
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Writer(Protocol):
    """Takes the parts of a packed file, in order; returns the JSON values that stand for them."""

    def code(self, code: Code) -> codec.Node:
        """Take a code tree."""

    def tensor(self, tensor: Tensor) -> list[Any]:
        """Take an uncompressed tensor."""

    def finish(self) -> bytes:
        """Return the file's data."""


class Reader(Protocol):
    """Gives back the parts of a packed file, in the order they were written."""

    def code(self, node: Mapping[str, Any]) -> Code:
        """Return the next code tree."""

    def tensor(self, value: object) -> Tensor:
        """Return the next uncompressed tensor."""

    def finish(self) -> None:
        """Raise ValueError unless all data have been used."""


class PlainWriter:
    """Writes buffers as they are."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def code(self, code: Code) -> codec.Node:
        return codec.take_apart(code, lambda _, tensor: self._store(tensor))

    def tensor(self, tensor: Tensor) -> list[Any]:
        return [self._store(tensor)[0], list(tensor.shape)]

    def finish(self) -> bytes:
        return b"".join(self._parts)

    def _store(self, tensor: Tensor) -> list[str | int]:
        name, data = to_bytes(tensor)
        self._parts.append(data)
        return [name, tensor.numel()]


class PlainReader:
    """Cuts the data into buffers.

    Args:
        data: What the writer returned.
        kinds: Code classes by kind.
        max_elements: See :func:`autocompress.storage.codec.put_together`.
    """

    def __init__(self, data: bytes, kinds: Mapping[str, type[Code]], max_elements: int) -> None:
        # a bytearray, because torch warns of memory it may not write to
        self._data = torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)[: len(data)]
        self._used = 0
        self._kinds, self._max_elements = kinds, max_elements

    def code(self, node: Mapping[str, Any]) -> Code:
        return codec.put_together(node, self._flat, self._kinds, self._max_elements)

    def tensor(self, value: object) -> Tensor:
        dtype, shape = described(value)
        return self._take(dtype, numel(shape)).reshape(shape)

    def finish(self) -> None:
        if self._used != len(self._data):
            raise ValueError(f"{len(self._data) - self._used} bytes of data belong to nothing")

    def _flat(self, value: object) -> Tensor:
        return self._take(*counted(value))

    def _take(self, dtype: torch.dtype, count: int) -> Tensor:
        end = self._used + count * dtype.itemsize
        if end > len(self._data):
            raise ValueError(f"a buffer ends at byte {end} of {len(self._data)}")
        # a copy is aligned for its dtype, and keeps nothing else alive
        raw = self._data[self._used : end].clone()
        self._used = end
        return as_dtype(raw, dtype)


def counted(value: object) -> tuple[torch.dtype, int]:
    """Return what ``[dtype, count]``, read from JSON, says of a buffer; ValueError otherwise."""
    name, count = _pair(value, "a buffer")
    (count,) = codec.checked_shape([count])
    return _dtype(name), count


def described(value: object) -> tuple[torch.dtype, tuple[int, ...]]:
    """Return what ``[dtype, shape]``, read from JSON, says of a tensor; ValueError otherwise."""
    name, shape = _pair(value, "a tensor")
    return _dtype(name), codec.checked_shape(shape)


def as_dtype(raw: Tensor, dtype: torch.dtype) -> Tensor:
    """Return bytes (uint8, aligned) as a tensor of another dtype."""
    if raw.numel() == 0:  # NumPy may give it strides that cannot be viewed
        return torch.zeros(0, dtype=dtype)
    if not raw.numel():  # its stride may be one that view() does not accept
        return torch.zeros(0, dtype=dtype)
    return raw != 0 if dtype == torch.bool else raw.view(dtype)


def dtype_code(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype in files; ConfigError if no file can hold it."""
    if tensor.dtype not in _NAMES:
        raise ConfigError(f"a packed file cannot hold {tensor.dtype}: {', '.join(DTYPES)}")
    return _NAMES[tensor.dtype]


def to_bytes(tensor: Tensor) -> tuple[str, bytes]:
    """Return a tensor's dtype and its elements in row-major order, little endian."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return dtype_code(tensor), b""
    return dtype_code(tensor), flat.view(torch.uint8).numpy().tobytes()


def _pair(value: object, what: str) -> tuple[object, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{str(value)[:40]} does not describe {what}")
    return value[0], value[1]


def _dtype(name: object) -> torch.dtype:
    if not isinstance(name, str) or name not in DTYPES:
        raise ValueError(f"unknown dtype {str(name)[:40]}: known are {', '.join(DTYPES)}")
    return DTYPES[name]

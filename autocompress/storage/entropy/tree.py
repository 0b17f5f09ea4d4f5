"""Entropy-coded packed files: code trees and tensors to one coded stream, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autocompress.compression.base import Code, numel
from autocompress.compression.streams import Positions, Stream
from autocompress.storage import codec
from autocompress.storage.buffers import as_dtype, counted, described, dtype_code, to_bytes
from autocompress.storage.entropy.bytes import buffer
from autocompress.storage.entropy.coder import Coder, Decoder, Encoder, Ints
from autocompress.storage.entropy.models import integers
from autocompress.storage.entropy.pattern import positions

Runs: TypeAlias = tuple[int, ...]
_SLACK = 1 << 20
"""Symbols that may be read besides those of weights: numbers of models, tiny buffers."""
_PER_ELEMENT = 16
"""Most symbols for each number that a file announces; a float64 takes eight."""
_MOST_RUNS = 256
_MOST_TENSORS = 4096


class CodedWriter:
    """Writes everything through one range coder.

    Raises:
        MissingExtra: the library ``constriction`` is not installed.
    """

    def __init__(self) -> None:
        self._coder = Encoder()

    def code(self, code: Code) -> codec.Node:
        return self._node(code, ())

    def tensor(self, tensor: Tensor) -> list[Any]:
        return [self._buffer(tensor, ())[0], list(tensor.shape)]

    def finish(self) -> bytes:
        return self._coder.finish()

    def _node(self, code: Code, runs: Runs) -> codec.Node:
        meta, buffers = code.meta(), code.tensors()
        node: codec.Node = {"kind": code.kind}
        streams = type(code).streams(meta)
        for stream in streams:
            symbols = stream.symbols(buffers)
            _code(self._coder, stream, symbols, runs)
            runs = _survivors(stream, symbols, runs)
        named = {name for stream in streams for name in stream.names}
        tensors = {
            name: self._buffer(tensor, runs)
            for name, tensor in buffers.items()
            if name not in named
        }
        children = {name: self._node(child, runs) for name, child in code.children().items()}
        parts = {"meta": meta, "tensors": tensors, "children": children}
        return node | {key: part for key, part in parts.items() if part}

    def _buffer(self, tensor: Tensor, runs: Runs) -> list[Any]:
        dtype = dtype_code(tensor)
        flat = torch.frombuffer(bytearray(to_bytes(tensor)[1]) or bytearray(1), dtype=torch.uint8)
        flat = flat[: tensor.numel() * tensor.element_size()]
        buffer(self._coder, flat.numpy(), tensor.element_size(), runs)
        return [dtype, tensor.numel()]


class CodedReader:
    """Reads back what :class:`CodedWriter` wrote.

    Args:
        data: What the writer returned.
        kinds: Code classes by kind.
        announced: How many numbers the file says it holds, checked by the caller: bounds what is
            read and allocated.
    """

    def __init__(self, data: bytes, kinds: Mapping[str, type[Code]], announced: int) -> None:
        self._most = _PER_ELEMENT * announced + _SLACK
        self._coder = Decoder(data, self._most)
        self._kinds = kinds
        self._announced = announced

    def code(self, node: Mapping[str, Any]) -> Code:
        held: list[Tensor] = []
        plain = self._node(node, (), held)
        return codec.put_together(plain, held.__getitem__, self._kinds, self._announced)

    def tensor(self, value: object) -> Tensor:
        dtype, shape = described(value)
        return self._buffer(dtype, numel(shape), ()).reshape(shape)

    def finish(self) -> None:
        self._coder.finish()

    def _node(self, node: Mapping[str, Any], runs: Runs, held: list[Tensor]) -> codec.Node:
        """Return the node with its buffers, decoded, in ``held``."""
        meta = node.get("meta", {})
        tensors: dict[str, Tensor] = {}
        for stream in codec.find_kind(node, self._kinds).streams(meta):
            self._check(stream.count)
            blank = torch.zeros(stream.count, dtype=torch.int64).numpy()
            symbols = _code(self._coder, stream, blank, runs)
            tensors |= stream.buffers(symbols)
            runs = _survivors(stream, symbols, runs)
        for name, value in node.get("tensors", {}).items():
            tensors[name] = self._buffer(*counted(value), runs)
        places = {name: len(held) + place for place, name in enumerate(tensors)}
        held += tensors.values()
        children = {
            name: self._node(child, runs, held) for name, child in node.get("children", {}).items()
        }
        return {"kind": node["kind"], "meta": meta, "tensors": places, "children": children}

    def _buffer(self, dtype: torch.dtype, count: int, runs: Runs) -> Tensor:
        self._check(count * dtype.itemsize)
        blank = torch.zeros(count * dtype.itemsize, dtype=torch.uint8).numpy()
        return as_dtype(torch.from_numpy(buffer(self._coder, blank, dtype.itemsize, runs)), dtype)

    def _check(self, count: int) -> None:
        """Refuse before anything is allocated."""
        if not 0 <= count <= self._most:
            raise ValueError(f"a buffer announces {count} symbols, more than its weights can have")


def _code(coder: Coder, stream: Stream, symbols: Ints, runs: Runs) -> Ints:
    if isinstance(stream, Positions):
        shapes = stream.shapes if len(stream.shapes) <= _MOST_TENSORS else ((stream.count,),)
        return positions(coder, symbols, shapes)
    own = getattr(stream, "runs", (stream.count,))
    # what survived in each tensor tells more than that the survivors are one vector
    if len(own) <= 1 and sum(runs) == stream.count:
        own = runs
    if len(own) > _MOST_RUNS:
        own = (stream.count,)
    return integers(coder, symbols, stream.size, own)


def _survivors(stream: Stream, symbols: Ints, runs: Runs) -> Runs:
    """Return how many numbers each tensor has left after a stream."""
    if not isinstance(stream, Positions) or len(stream.shapes) > _MOST_RUNS:
        return runs
    sizes, start = [], 0
    for shape in stream.shapes:
        sizes.append(int(symbols[start : start + numel(shape)].sum()))
        start += numel(shape)
    return tuple(sizes)

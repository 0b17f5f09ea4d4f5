"""The outer layer of a packed file: a safetensors container of two byte tensors.

::

    8 bytes   length of the header, little endian
    header    JSON: format, version and crc32 (of all that follows) in __metadata__, and where
              the tensors "data" and "text" are
    data      all buffers, one after the other
    text      what they mean: JSON, deflated (it would outweigh the data of a small model)

Written here rather than by the safetensors library, whose order of metadata differs from run to
run; read here too, because every length has to be checked before it is believed. Any safetensors
reader opens the files.

An entropy-coded file, version 2, is as small as can be: one tensor "data" holds the checksum, the
text (deflated with a dictionary, see :mod:`autocompress.storage.dictionary`) and the coded data.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from autocompress.errors import PackedFileError
from autocompress.storage.dictionary import WORDS

FORMAT = "autocompress"
VERSION = 1
CODED = 2
"""Version of entropy-coded files."""
MAX_HEADER = 2**16
"""Largest header, in bytes, that is read."""
MAX_TEXT = 64 * 2**20
"""Largest text, in bytes after inflating, that is read."""


class Content(NamedTuple):
    """What is in a file.

    Attributes:
        text: The JSON text.
        data: The buffers' data.
        coded: Whether they are entropy-coded.
    """

    text: str
    data: bytes
    coded: bool


def build(text: str, data: bytes) -> bytes:
    """Return the whole file; the same arguments give the same bytes."""
    body = data + zlib.compress(text.encode(), 9)
    header = _header_text(len(data), len(body), zlib.crc32(body))
    return struct.pack("<Q", len(header)) + header.encode() + body


def overhead(text: str, data: int) -> int:
    """Return how many bytes a file with so many bytes of data has besides these."""
    deflated = len(zlib.compress(text.encode(), 9))
    return 8 + len(_header_text(data, data + deflated, 0)) + deflated


def _header_text(middle: int, end: int, checksum: int) -> str:
    header = json.dumps(_fields(middle, end, checksum), separators=(",", ":"))
    return header + " " * (-len(header) % 8)  # the format wants the data aligned


def _fields(middle: int, end: int, checksum: int) -> dict[str, Any]:
    metadata = {"format": FORMAT, "version": str(VERSION), "crc32": f"{checksum:08x}"}
    data = {"dtype": "U8", "shape": [middle], "data_offsets": [0, middle]}
    text = {"dtype": "U8", "shape": [end - middle], "data_offsets": [middle, end]}
    return {"__metadata__": metadata, "data": data, "text": text}


def build_coded(text: str, data: bytes) -> bytes:
    """Return the whole of an entropy-coded file."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=WORDS)
    body = deflater.compress(text.encode()) + deflater.flush() + data
    body = struct.pack("<I", zlib.crc32(body)) + body
    header = json.dumps(_coded_fields(len(body)), separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + body


def _coded_fields(end: int) -> dict[str, Any]:
    data = {"dtype": "U8", "shape": [end], "data_offsets": [0, end]}
    return {"__metadata__": {FORMAT: str(CODED)}, "data": data}


def parse(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    """Read a file that :func:`build` or :func:`build_coded` made: its text and its data.

    Raises:
        PackedFileError: see :func:`load`.
    """
    return load(path)[:2]


def load(path: str | os.PathLike[str]) -> Content:
    """Read a file that :func:`build` or :func:`build_coded` made.

    Raises:
        PackedFileError: the file is missing, truncated, damaged, of a newer version or not ours.
    """
    try:
        with open(path, "rb") as file:
            return _parse(Path(path), file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise PackedFileError(f"cannot read packed file {path}: {reason}") from error


def _refuse(path: Path, reason: str) -> NoReturn:
    raise PackedFileError(f"{path}: {reason}")


def _parse(path: Path, file: BinaryIO, size: int) -> Content:
    start = file.read(8)
    if not start:
        _refuse(path, "the file is empty")
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length < 2 or length > MAX_HEADER:
        _refuse(path, "not a packed file (it does not begin with a short safetensors header)")
    if length > size - 8:
        _refuse(path, f"truncated, or not a packed file: {size} bytes, {8 + length} in its header")
    fields, coded = _header(path, file.read(length))
    middle, end = _tensors(path, fields, ("data", "data") if coded else ("data", "text"))
    if size != 8 + length + end:
        kind = "truncated" if size < 8 + length + end else "damaged"
        _refuse(path, f"{kind}: {size} bytes instead of {8 + length + end}")
    body = file.read(end)
    if coded:
        return _coded(path, fields, body)
    # an honest file has the very header that build() writes
    if len(body) != end or fields != _fields(middle, end, zlib.crc32(body)):
        _refuse(path, "damaged: the checksum does not match")
    text, _ = _inflate(path, body[middle:], zlib.decompressobj())
    return Content(text, body[:middle], coded=False)


def _coded(path: Path, fields: dict[str, Any], body: bytes) -> Content:
    if fields != _coded_fields(len(body)) or body[:4] != struct.pack("<I", zlib.crc32(body[4:])):
        _refuse(path, "damaged: the checksum does not match")
    text, data = _inflate(path, body[4:], zlib.decompressobj(-15, zdict=WORDS))
    return Content(text, data, coded=True)


def _header(path: Path, header: bytes) -> tuple[dict[str, Any], bool]:
    """Return the header's fields, once the file is known to be ours and of a known version.

    And whether it is of an entropy-coded file.
    """
    try:
        fields = json.loads(header.decode())
    except (ValueError, RecursionError):
        _refuse(path, "not a packed file, or damaged: its header is not JSON")
    metadata = fields.get("__metadata__") if isinstance(fields, dict) else None
    coded = isinstance(metadata, dict) and FORMAT in metadata
    if not isinstance(metadata, dict) or (metadata.get("format") != FORMAT and not coded):
        _refuse(path, "a safetensors file, but not one packed by autocompress")
    version = metadata[FORMAT] if coded else metadata.get("version")
    if version != str(CODED if coded else VERSION):
        _refuse(
            path,
            f"packed in format version {str(version)[:20]!r}, which this autocompress cannot read "
            f"(it reads versions {VERSION} and {CODED}): a newer one can, or the file is damaged",
        )
    return dict(fields), coded


def _tensors(path: Path, fields: dict[str, Any], names: tuple[str, str]) -> tuple[int, int]:
    """Return where two tensors end."""
    try:
        ends = [fields[name]["data_offsets"][1] for name in names]
    except (LookupError, TypeError):
        ends = []
    if [type(end) for end in ends] != [int, int] or not 0 <= ends[0] <= ends[1]:
        _refuse(path, f"damaged: it must hold byte tensors, {' and '.join(dict.fromkeys(names))}")
    return ends[0], ends[1]


def _inflate(path: Path, deflated: bytes, inflater: zlib._Decompress) -> tuple[str, bytes]:
    """Return the text, and what comes after its end."""
    try:
        text = inflater.decompress(deflated, MAX_TEXT)
        if inflater.eof:
            return text.decode(), inflater.unused_data
    except (zlib.error, UnicodeDecodeError):
        pass
    _refuse(path, "damaged: its text cannot be inflated")

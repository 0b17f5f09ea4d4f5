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
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from autocompress.errors import PackedFileError

FORMAT = "autocompress"
VERSION = 1
MAX_HEADER = 2**16
"""Largest header, in bytes, that is read."""
MAX_TEXT = 64 * 2**20
"""Largest text, in bytes after inflating, that is read."""


def build(text: str, data: bytes) -> bytes:
    """Return the whole file; the same arguments give the same bytes."""
    deflated = zlib.compress(text.encode(), 9)
    body = data + deflated
    header = json.dumps(_fields(len(data), len(body), zlib.crc32(body)), separators=(",", ":"))
    header += " " * (-len(header) % 8)  # the format wants the data aligned
    return struct.pack("<Q", len(header)) + header.encode() + body


def _fields(middle: int, end: int, checksum: int) -> dict[str, Any]:
    metadata = {"format": FORMAT, "version": str(VERSION), "crc32": f"{checksum:08x}"}
    data = {"dtype": "U8", "shape": [middle], "data_offsets": [0, middle]}
    text = {"dtype": "U8", "shape": [end - middle], "data_offsets": [middle, end]}
    return {"__metadata__": metadata, "data": data, "text": text}


def parse(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    """Read a file that :func:`build` made.

    Returns:
        The text and the data.

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


def _parse(path: Path, file: BinaryIO, size: int) -> tuple[str, bytes]:
    start = file.read(8)
    if not start:
        _refuse(path, "the file is empty")
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length < 2 or length > MAX_HEADER:
        _refuse(path, "not a packed file (it does not begin with a short safetensors header)")
    if length > size - 8:
        _refuse(path, f"truncated, or not a packed file: {size} bytes, {8 + length} in its header")
    fields = _header(path, file.read(length))
    middle, end = _tensors(path, fields)
    if size != 8 + length + end:
        kind = "truncated" if size < 8 + length + end else "damaged"
        _refuse(path, f"{kind}: {size} bytes instead of {8 + length + end}")
    body = file.read(end)
    # an honest file has the very header that build() writes
    if len(body) != end or fields != _fields(middle, end, zlib.crc32(body)):
        _refuse(path, "damaged: the checksum does not match")
    return _inflate(path, body[middle:]), body[:middle]


def _header(path: Path, header: bytes) -> dict[str, Any]:
    """Return the header's fields, once the file is known to be ours and of a known version."""
    try:
        fields = json.loads(header.decode())
    except (ValueError, RecursionError):
        _refuse(path, "not a packed file, or damaged: its header is not JSON")
    metadata = fields.get("__metadata__") if isinstance(fields, dict) else None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        _refuse(path, "a safetensors file, but not one packed by autocompress")
    version = metadata.get("version")
    if version != str(VERSION):
        _refuse(
            path,
            f"packed in format version {str(version)[:20]!r}, which this autocompress cannot read "
            f"(it reads version {VERSION}): a newer one can, or the file is damaged",
        )
    return dict(fields)


def _tensors(path: Path, fields: dict[str, Any]) -> tuple[int, int]:
    """Return where the data and where the text end."""
    try:
        ends = [fields[name]["data_offsets"][1] for name in ("data", "text")]
    except (LookupError, TypeError):
        ends = []
    if [type(end) for end in ends] != [int, int] or not 0 <= ends[0] <= ends[1]:
        _refuse(path, "damaged: it must hold two byte tensors, 'data' and 'text'")
    return ends[0], ends[1]


def _inflate(path: Path, deflated: bytes) -> str:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(deflated, MAX_TEXT)
        if inflater.eof:
            return text.decode()
    except (zlib.error, UnicodeDecodeError):
        pass
    _refuse(path, "damaged: its text cannot be inflated")

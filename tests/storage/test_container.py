import json
import os
import struct
import zlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autocompress.errors import PackedFileError
from autocompress.storage import container

TEXT, DATA = '{"é": [1, 2.5]}', bytes(range(200))


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "some.safetensors"
    path.write_bytes(content)
    with pytest.raises(PackedFileError) as caught:
        container.parse(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def with_header(fields: object, body: bytes = b"") -> bytes:
    header = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return struct.pack("<Q", len(header)) + header + body


def fields_of(content: bytes) -> dict[str, object]:
    (length,) = struct.unpack("<Q", content[:8])
    fields: dict[str, object] = json.loads(content[8 : 8 + length])
    return fields


@pytest.mark.parametrize(("text", "data"), [(TEXT, DATA), ("", b""), (TEXT, b""), ("x", DATA)])
def test_round_trip(tmp_path: Path, text: str, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(container.build(text, data))
    assert container.parse(path) == (text, data)


def test_any_safetensors_reader_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(container.build(TEXT, DATA))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "autocompress"
        assert file.get_tensor("data").numpy().tobytes() == DATA
        assert zlib.decompress(file.get_tensor("text").numpy().tobytes()) == TEXT.encode()
        assert (file.get_tensor("data").data_ptr() % 8) == 0


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = container.build(TEXT, DATA)
    for length in range(len(content)):
        reason = refused(tmp_path, content[:length])
        assert ("empty" if length == 0 else "t") in reason
        if length > 8:
            assert "truncated" in reason


def test_bytes_too_many_are_refused(tmp_path: Path) -> None:
    assert "damaged" in refused(tmp_path, container.build(TEXT, DATA) + b"\0")


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    content = container.build(TEXT, DATA)
    path = tmp_path / "file"
    for position in range(len(content)):
        for bit in (position % 8, 5):  # 5 turns upper into lower case: still a letter
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                result = container.parse(path)
            except PackedFileError:
                continue
            # white space of the padding is the one thing that may differ
            assert result == (TEXT, DATA)
            assert content[position] == ord(" ")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PackedFileError, match=r"nowhere\.safetensors: no such file"):
        container.parse(tmp_path / "nowhere.safetensors")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PackedFileError, match=r"cannot read packed file"):
        container.parse(tmp_path)


def test_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(PackedFileError, match="not one packed by autocompress"):
        container.parse(path)
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(PackedFileError, match="not one packed by autocompress"):
        container.parse(path)


def test_random_bytes(tmp_path: Path) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 256, (50 * seed + 1,), generator=generator, dtype=torch.uint8)
        assert "packed file" in refused(tmp_path, noise.numpy().tobytes())


@pytest.mark.parametrize(
    "content",
    [b"\x80\x04\x95pickle", b"PK\x03\x04" + bytes(40), b"{}", b"\0" * 100, b"\xff" * 100],
)
def test_other_formats(tmp_path: Path, content: bytes) -> None:
    assert "not a packed file" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "header", [b"[]", b"{}", b"null", b"[" * 5000, b'{"__metadata__": 3}', b"\xff\xfe", b"1e5"]
)
def test_headers_of_another_kind(tmp_path: Path, header: bytes) -> None:
    assert "packed" in refused(tmp_path, with_header(header))


def test_header_longer_than_the_file(tmp_path: Path) -> None:
    assert "truncated" in refused(tmp_path, struct.pack("<Q", 60_000) + b"{}")
    huge = refused(tmp_path, struct.pack("<Q", 2**63) + b"{}")
    assert "not a packed file" in huge


@pytest.mark.parametrize("version", ["2", "1000", "", "x", None, 1])
def test_other_versions(tmp_path: Path, version: object) -> None:
    fields = fields_of(container.build(TEXT, DATA))
    fields["__metadata__"]["version"] = version  # type: ignore[index]
    assert "newer" in refused(tmp_path, with_header(fields))


@pytest.mark.parametrize(
    "offsets",
    [
        [0, -1],
        [0, 10**30],
        [0, 1.0],
        [0, True],
        [0, "200"],
        [0, None],
        [0],
        [],
        None,
        {"1": 2},
        [5, 200],
        [0, 199],
        [-1, 200],
        [0, 200, 3],
    ],
)
@pytest.mark.parametrize("name", ["data", "text"])
def test_forged_offsets(tmp_path: Path, name: str, offsets: object) -> None:
    content = container.build(TEXT, DATA)
    fields = fields_of(content)
    fields[name]["data_offsets"] = offsets  # type: ignore[index]
    (length,) = struct.unpack("<Q", content[:8])
    reason = refused(tmp_path, with_header(fields, content[8 + length :]))
    assert "damaged" in reason or "truncated" in reason


def test_overlapping_and_foreign_tensors(tmp_path: Path) -> None:
    content = container.build(TEXT, DATA)
    (length,) = struct.unpack("<Q", content[:8])
    body = content[8 + length :]
    overlap = fields_of(content)
    overlap["text"]["data_offsets"][0] = 100  # type: ignore[index]
    assert "damaged" in refused(tmp_path, with_header(overlap, body))
    more = fields_of(content) | {"more": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    assert "damaged" in refused(tmp_path, with_header(more, body))
    wide = fields_of(content)
    wide["data"]["dtype"] = "F64"  # type: ignore[index]
    assert "damaged" in refused(tmp_path, with_header(wide, body))


def forged(deflated: bytes) -> bytes:
    fields = container._fields(0, len(deflated), zlib.crc32(deflated))
    return with_header(fields, deflated)


def test_text_that_inflates_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "MAX_TEXT", 1000)
    assert "inflated" in refused(tmp_path, forged(zlib.compress(b" " * 1001)))
    path = tmp_path / "ok"
    path.write_bytes(forged(zlib.compress(b" " * 1000)))
    assert container.parse(path)[0] == " " * 1000


@pytest.mark.parametrize(
    "deflated", [b"", b"abc", zlib.compress(b"\xff\xff"), zlib.compress(b"x")[:-3]]
)
def test_text_that_cannot_be_inflated(tmp_path: Path, deflated: bytes) -> None:
    assert "inflated" in refused(tmp_path, forged(deflated))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(PackedFileError, match="Permission denied"):
        container.parse(path)

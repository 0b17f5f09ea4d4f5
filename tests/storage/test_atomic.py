import os
import stat
import threading
from pathlib import Path

import pytest

from autocompress.storage import atomic


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(str(path), b"new content")
    assert path.read_bytes() == b"new content"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_text_is_utf8_with_newlines_as_given(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "t", "é\r\nµ\n")
    assert (tmp_path / "t").read_bytes() == "é\r\nµ\n".encode()


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_bytes(tmp_path / "no" / "file", b"x")
    assert not (tmp_path / "no").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space") as caught:
        atomic.write_bytes(path, b"new")
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([i]) * 200_000 for i in range(2)]
    atomic.write_bytes(path, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        atomic.write_bytes(path, contents[i % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640

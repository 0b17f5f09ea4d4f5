"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that nobody ever sees a part of it, not even after a power cut.

    A file of that name is replaced in one step; if anything fails it stays as it was.

    Args:
        path: The file; its folder must exist.
        data: Everything the file shall hold.

    Raises:
        OSError: the folder is missing, full or not writable; it names the file.
    """
    target = Path(path)
    # the same folder, because a rename is atomic only within one file system
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # not tempfile: its files are private to the user, whatever the umask says
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # a full disk's error names no file, others name the temporary one
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(target)
        raise
    _sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8 the way :func:`write_bytes` writes bytes; newlines stay as given."""
    write_bytes(path, text.encode())


def is_unfinished(path: Path) -> bool:
    """Whether a file is what a process killed in the midst of :func:`write_bytes` leaves."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder; nobody may be writing there now."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can open a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

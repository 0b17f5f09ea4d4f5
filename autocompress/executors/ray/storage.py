"""A place that driver and nodes all reach, for L-C states and trials' files on their way."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

from autocompress.errors import ConfigError, ExecutorError, MissingExtra
from autocompress.explore.trial import CANDIDATE, HISTORY, LOG, MODEL, STATE, WARM
from autocompress.storage import atomic

START = "start.safetensors"
"""The file that a trial starts from, next to its state."""
LEFT = (CANDIDATE, HISTORY, MODEL, LOG, WARM)
"""What a trial may leave; no other file is ever fetched."""
ON_THE_WAY = (STATE, LOG)
"""What is kept of a trial after every step."""

_TRIAL = re.compile(r"trials/\d+(/repeats/\d+)?")
_APPEAR_WHOLE = ("s3", "gcs", "abfs")
"""File systems where a file is there once it was written to its end, and not before."""


class Storage:
    """A folder of a file system that pyarrow knows.

    Args:
        uri: A path (``/mnt/shared/runs``) or a URI (``s3://bucket/runs``, ``gs://``, ``hdfs://``).
        name: The run's folder in it.

    Raises:
        MissingExtra: pyarrow is not installed.
        ConfigError: pyarrow knows no such file system.
    """

    def __init__(self, uri: str, name: str) -> None:
        try:
            from pyarrow import fs
        except ImportError:
            raise MissingExtra("pyarrow", "ray") from None
        self.uri = uri
        self.name = name
        self._fs: Any
        try:
            if "://" in uri:
                self._fs, root = fs.FileSystem.from_uri(uri)
            else:
                self._fs, root = fs.LocalFileSystem(), os.path.abspath(uri)
        except (OSError, ValueError) as error:
            text = str(error).splitlines()[0]
            raise ConfigError(
                f"storage_path = {uri!r}: {text}; accepted are a path and URIs such as s3://"
            ) from None
        self._root = f"{root.rstrip('/')}/{name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Storage, (self.uri, self.name)

    def put(self, file: Path, name: str) -> None:
        """Store a file so that it appears whole or not at all, replacing what is there.

        Raises:
            ExecutorError: the storage cannot be written to.
        """
        path = f"{self._root}/{name}"
        whole = self._fs.type_name in _APPEAR_WHOLE
        there = path if whole else f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            self._fs.create_dir(path.rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(there) as stream:
                stream.write(file.read_bytes())
            if not whole:
                self._fs.move(there, path)
        except OSError as error:
            raise self._broken("written to", error) from error

    def get(self, name: str, file: Path) -> bool:
        """Fetch a file; return False where there is none.

        Raises:
            ExecutorError: the storage cannot be read.
        """
        try:
            with self._fs.open_input_stream(f"{self._root}/{name}") as stream:
                data = stream.read()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._broken("read", error) from error
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(file, data)
        return True

    def remove(self, folder: str) -> None:
        """Remove a trial's folder; it need not exist."""
        try:
            self._fs.delete_dir(f"{self._root}/{folder}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._broken("written to", error) from error

    def reclaim(self, run: Path) -> list[str]:
        """Move the states of interrupted trials into the run's folder, where any executor goes on.

        Args:
            run: The run's folder.

        Returns:
            The folders of these trials, relative to the run.
        """
        found = [folder for folder in self._folders() if _TRIAL.fullmatch(folder)]
        for folder in found:
            for name in ON_THE_WAY:
                self.get(f"{folder}/{name}", run / folder / name)
        for folder in found:
            self.remove(folder)
        return found

    def _folders(self) -> list[str]:
        """Return the folders with a state, relative to the root."""
        from pyarrow import fs

        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        try:
            infos = self._fs.get_file_info(selector)
        except OSError as error:
            raise self._broken("read", error) from error
        states = (info.path for info in infos if info.base_name == STATE)
        return sorted(path.rpartition("/")[0].removeprefix(self._root)[1:] for path in states)

    def _broken(self, what: str, error: OSError) -> ExecutorError:
        text = str(error).splitlines()[0]
        return ExecutorError(f"storage_path {self.uri}: cannot be {what}: {text}")

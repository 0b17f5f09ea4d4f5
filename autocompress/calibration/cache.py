"""Measured statistics, kept in memory and in a folder that several processes may share."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from autocompress.errors import AutocompressWarning
from autocompress.storage.atomic import write_bytes

_BUDGET = 1 << 28  # bytes of statistics this process remembers
_KEY = "autocompress.calibration"


@dataclass(frozen=True, eq=False)
class Part:
    """Statistics measured together.

    Attributes:
        values: By parameter name, on the CPU.
        problems: Why there is none, by the name of each parameter that has none.
    """

    values: dict[str, Tensor] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Memory of the values."""
        return sum(value.numel() * value.element_size() for value in self.values.values())


_memory: OrderedDict[Path, Part] = OrderedDict()


def forget() -> None:
    """Forget what is in memory; files stay."""
    _memory.clear()


class Cache:
    """Parts by key.

    Args:
        folder: Where the files are; None keeps nothing, neither on disk nor in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> Part | None:
        """Return a part; a file that cannot be read is told about and measured again."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}.safetensors"
        if path in _memory:
            _memory.move_to_end(path)
            return _memory[path]
        if not path.is_file():
            return None
        try:
            part = _read(path, key)
        except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"the statistics in {path} cannot be used ({error}): measuring them again",
                AutocompressWarning,
                stacklevel=2,
            )
            return None
        _remember(path, part)
        return part

    def put(self, key: str, part: Part) -> None:
        """Keep a part; a folder that cannot be written is told about."""
        if self._folder is None:
            return
        path = self._folder / f"{key}.safetensors"
        _remember(path, part)
        header = {_KEY: json.dumps({"key": key, "problems": part.problems})}
        values = {name: value.contiguous() for name, value in part.values.items()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, safetensors.torch.save(values, header))
        except OSError as error:
            warnings.warn(
                f"the statistics could not be kept in {self._folder} ({error}): they will be "
                "measured again next time",
                AutocompressWarning,
                stacklevel=2,
            )

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Let one process at a time measure; the others wait, and then find it done.

        Without effect where the system has no file locks: parts are then measured twice, and each
        file is still written whole.
        """
        with contextlib.ExitStack() as stack:
            if self._folder is not None:
                with contextlib.suppress(ImportError, OSError):
                    import fcntl

                    self._folder.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(open(self._folder / f"{key}.lock", "ab"))
                    fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, or the process
            yield


def _remember(path: Path, part: Part) -> None:
    _memory[path] = part
    _memory.move_to_end(path)
    while len(_memory) > 1 and sum(part.bytes for part in _memory.values()) > _BUDGET:
        _memory.popitem(last=False)


def _read(path: Path, key: str) -> Part:
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {})[_KEY])
        if header["key"] != key:
            raise ValueError("it belongs to another model")
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Part(values, {str(name): str(why) for name, why in header["problems"].items()})

"""MNIST, Fashion-MNIST and CIFAR, read whole through torchvision.

torchvision checks CIFAR's files (which are pickles) against known MD5 sums before opening them.
"""

from __future__ import annotations

import contextlib
import io
import socket
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress.data.dataset import DataSpec
from autocompress.data.raw import Raw
from autocompress.data.roots import data_root
from autocompress.errors import DataError

_TIMEOUT = 20.0  # seconds without an answer; torchvision itself would wait for ever


@dataclass(frozen=True)
class TorchvisionReader:
    """Reads one of torchvision's data sets that hold ``.data`` and ``.targets`` in memory.

    Args:
        dataset: Name of the class in ``torchvision.datasets``.
        folder: What it looks for inside its root.
        classes: Number of classes.
    """

    dataset: str
    folder: str
    classes: int

    def __call__(self, spec: DataSpec) -> Raw:
        """Read it, after an attempt to download it if it is not there.

        Raises:
            DataError: Missing and not to be had, or damaged.
        """
        root = self._locate(data_root(spec.root))
        x, y = self._read(spec, root, train=True)
        return Raw(x, y, self._read(spec, root, train=False), self.classes)

    def _locate(self, root: Path) -> Path:
        """Accept the data set's own folder (``…/MNIST`` or ``…/MNIST/raw``) as root as well."""
        if root.name == "raw" and root.parent.name == self.folder:
            return root.parent.parent
        return root.parent if root.name == self.folder else root

    def _read(self, spec: DataSpec, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
        from torchvision import datasets  # a second to import, and only needed here

        cls = getattr(datasets, self.dataset)
        try:
            found = cls(str(root), train=train, download=False)
        except Exception as error:  # whatever a truncated file makes it raise
            if "Dataset not found" not in str(error):
                raise DataError(
                    f"data set {spec.name!r}: the files in {root / self.folder} are damaged "
                    f"({type(error).__name__}: {error}): delete them and try again"
                ) from error
            found = self._download(cls, spec, root, train=train)
        return _as_images(found.data), torch.as_tensor(found.targets, dtype=torch.int64)

    def _download(self, cls: Any, spec: DataSpec, root: Path, *, train: bool) -> Any:
        made = _missing_parents(root / self.folder / "raw")
        try:
            with _impatient(), contextlib.redirect_stdout(io.StringIO()):
                return cls(str(root), train=train, download=True)
        except Exception as error:  # no network, no space, no permission, bad checksum
            _remove_empty(made)
            reason = textwrap.shorten(str(error) or type(error).__name__, 160)
            raise DataError(
                f"data set {spec.name!r} is missing: looked in {root / self.folder}, and could "
                f"not download it ({reason}). Name a folder that has it with --data-root DIR "
                f"(root=... in Python; torchvision's layout, DIR/{self.folder}), or run once on "
                "a machine with network"
            ) from error


def _as_images(data: Any) -> Tensor:
    """Turn ``(n, h, w)`` tensors or ``(n, h, w, 3)`` arrays into uint8 ``(n, c, h, w)``."""
    x = torch.as_tensor(data)
    return x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _missing_parents(path: Path) -> list[Path]:
    """Folders that a failed download would leave behind, deepest first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # not made after all, or not empty
            folder.rmdir()

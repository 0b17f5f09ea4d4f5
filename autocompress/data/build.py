"""Loading data sets by name."""

from __future__ import annotations

import os
from typing import Any

import torch

from autocompress.data.dataset import Data, DataSpec
from autocompress.data.sources import SOURCES
from autocompress.errors import unknown


def load(
    name: str = "digits",
    *,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Data:
    """Load a named data set in fixed, stratified train, validation and test splits.

    Images are scaled to [0, 1], then standardised with the mean and standard deviation of the
    *training* pixels of each channel, so no statistic of validation or test examples enters.
    Official test sets are kept as they are; ``digits``, which has none, is split 60/20/20.

    Args:
        name: One of :func:`autocompress.data.names`.
        root: Folder with the files in torchvision's layout, or the data set's own folder. None for
            ``$AUTOCOMPRESS_DATA``, or else a folder in the user's cache. What is missing is
            downloaded into it, if there is a network.
        seed: Decides the splits: the same seed, the same splits, on every machine.
        device: Where the data is to live.
        **options: Further fields of :class:`DataSpec` (``val_fraction=`` …).

    Raises:
        UnknownName: No data set of this name.
        DataError: Files missing (and no download possible) or unusable.
        ConfigError: An option that does not exist or cannot be used.
    """
    folder = None if root is None else os.fspath(root)
    return load_spec(DataSpec(name=name, root=folder, seed=seed, **options), device)


def load_spec(spec: DataSpec, device: torch.device | str = "cpu") -> Data:
    """Load what a spec describes, in a worker process say; see :func:`load`."""
    if spec.name not in SOURCES:
        raise unknown("data set", spec.name, SOURCES)
    return SOURCES[spec.name].load(spec, device)

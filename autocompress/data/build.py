"""Making :class:`Data`: by name, from tensors, or from torch data sets."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from autocompress.data.checks import check_labels, checked_pair, digest
from autocompress.data.dataset import Data, DataSpec
from autocompress.data.sources import SOURCES, Raw, Source
from autocompress.data.split import TensorSplit
from autocompress.data.splits import stratified
from autocompress.errors import DataError, unknown

Pair = tuple[Any, Any]


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

    Args:
        name: One of :func:`autocompress.data.names`.
        root: Folder with the files in torchvision's layout, or the data set's own folder. None for
            ``$AUTOCOMPRESS_DATA``, or else a folder in the user's cache.
        seed: Decides the splits: the same seed, the same splits, on every machine.
        device: Where the data is to live.
        **options: Further fields of :class:`DataSpec` (``val_fraction=`` …).

    Raises:
        UnknownName: No data set of this name.
        DataError: Files missing (and no download possible) or unusable.
        ConfigError: An option that does not exist or cannot be used.
    """
    folder = None if root is None else os.fspath(root)
    return DataSpec(name=name, root=folder, seed=seed, **options).load(device)


def load_spec(spec: DataSpec, device: torch.device | str) -> Data:
    """Load what a spec describes; see :func:`load`."""
    if spec.name not in SOURCES:
        raise unknown("data set", spec.name, SOURCES)
    source = SOURCES[spec.name]
    read = source.read(spec)
    if isinstance(read, Raw):
        return _from_raw(read, source, spec, torch.device(device))
    return read(torch.device(device))


def from_tensors(
    *,
    train: Pair,
    val: Pair,
    test: Pair,
    classes: int | None = None,
    name: str = "tensors",
    device: torch.device | str = "cpu",
) -> Data:
    """Make data of tensors or arrays; inputs are taken as they are (no scaling).

    Args:
        train: ``(x, y)``: ``x`` ``(n, *input_shape)``, converted to float32; ``y`` integer class
            numbers ``(n,)``.
        val: The same, for choosing.
        test: The same, for reporting.
        classes: Number of classes; None for the largest training label plus one.
        name: Its name in reports.
        device: Where to hold it.

    Raises:
        DataError: Lengths differ, an empty split, NaN or infinite inputs, labels that are not
            integers or out of range, or inputs of different shapes.
    """
    given = {"train": train, "val": val, "test": test}
    pairs = {where: checked_pair(where, pair) for where, pair in given.items()}
    shape = tuple(pairs["train"][0].shape[1:])
    if classes is None:
        classes = int(pairs["train"][1].max()) + 1
    for where, (x, y) in pairs.items():
        if tuple(x.shape[1:]) != shape:
            raise DataError(f"{where}: inputs of shape {tuple(x.shape[1:])}, but train has {shape}")
        check_labels(where, y, classes)
    content = digest(str(classes), *(part for pair in pairs.values() for part in pair))
    train_split, val_split, test_split = (
        TensorSplit(x.to(device), y.to(device)) for x, y in pairs.values()
    )
    return Data(name, train_split, val_split, test_split, shape, classes, content)


def _from_raw(raw: Raw, source: Source, spec: DataSpec, device: torch.device) -> Data:
    """Split, scale and place images.

    The digest is taken of the integers read and the indices drawn, not of the scaled floats, whose
    last bits may depend on the machine.
    """
    fraction = source.val_fraction if spec.val_fraction is None else spec.val_fraction
    if raw.test is None:
        train, val, test = stratified(raw.y, [fraction, source.test_fraction], spec.seed)
        test_x, test_y = raw.x[test], raw.y[test]
    else:
        train, val = stratified(raw.y, [fraction], spec.seed)
        test_x, test_y = raw.test
    train_x = raw.x[train]
    shift, scale = _standardise(train_x, raw.full_scale)

    def split(x: Tensor, y: Tensor) -> TensorSplit:
        values = x.to(device=device, dtype=torch.float32)
        values.mul_(scale.to(device)).add_(shift.to(device))
        return TensorSplit(values, y.to(device))

    return Data(
        name=spec.name,
        train=split(train_x, raw.y[train]),
        val=split(raw.x[val], raw.y[val]),
        test=split(test_x, test_y),
        input_shape=tuple(raw.x.shape[1:]),
        classes=raw.classes,
        digest=digest("raw/1", raw.x, raw.y, test_x, test_y, train, val),
        spec=spec,
    )


def _standardise(x: Tensor, full_scale: float) -> tuple[Tensor, Tensor]:
    """Return ``shift, scale`` of ``x * scale + shift``, each ``(channels, 1, 1)``.

    Computed from the histogram of the 256 values: exact, so the same on every machine.
    """
    values = torch.arange(256, dtype=torch.float64) / full_scale
    shifts, scales = [], []
    for channel in x.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).to(torch.float64)
        share = counts / counts.sum()
        mean = (share * values).sum()
        std = (share * (values - mean).square()).sum().sqrt()
        std = std if std > 0 else torch.ones_like(std)  # one grey level everywhere: only shift it
        scales.append(1 / (full_scale * std))
        shifts.append(-mean / std)
    stacked = torch.stack([torch.stack(shifts), torch.stack(scales)]).float()[..., None, None]
    return stacked[0], stacked[1]

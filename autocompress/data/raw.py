"""`Raw` images as a source read them, and turning them into `Data`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.data.checks import check_labels, digest
from autocompress.data.dataset import Data, DataSpec
from autocompress.data.split import Augment, TensorSplit
from autocompress.data.splits import stratified


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source of images read, before splitting and scaling.

    Args:
        x: uint8, ``(n, channels, height, width)``.
        y: int64, ``(n,)``.
        test: The official test examples in the same form; None if there are none, and the
            examples are then split three ways.
        classes: Number of classes.
        full_scale: Value of ``x`` that becomes 1.
    """

    x: Tensor
    y: Tensor
    test: tuple[Tensor, Tensor] | None
    classes: int
    full_scale: float = 255.0


def prepare(
    raw: Raw,
    spec: DataSpec,
    device: torch.device | str,
    *,
    val_fraction: float,
    test_fraction: float,
    augment: Augment | None,
) -> Data:
    """Split, scale, standardise and place images.

    The digest is taken of the integers read and the indices drawn, not of the scaled floats, whose
    last bits may depend on the machine.

    Args:
        raw: The images.
        spec: What is being loaded.
        device: Where to hold it.
        val_fraction: Share of the training examples for validation, unless ``spec`` says.
        test_fraction: Share for testing where there is no official test set.
        augment: For training batches, or None.

    Raises:
        DataError: Too few examples, or labels out of range.
    """
    fraction = val_fraction if spec.val_fraction is None else spec.val_fraction
    if raw.test is None:
        train, val, test = stratified(raw.y, [fraction, test_fraction], spec.seed)
        test_x, test_y = raw.x[test], raw.y[test]
    else:
        train, val = stratified(raw.y, [fraction], spec.seed)
        test_x, test_y = raw.test
    check_labels(f"{spec.name} (train)", raw.y, raw.classes)
    check_labels(f"{spec.name} (test)", test_y, raw.classes)
    train_x = raw.x[train]
    shift, scale = (value.to(device) for value in _standardise(train_x, raw.full_scale))

    def split(x: Tensor, y: Tensor, augment: Augment | None = None) -> TensorSplit:
        values = x.to(device).to(torch.float32)
        return TensorSplit(values.mul_(scale).add_(shift), y.to(device), augment)

    return Data(
        name=spec.name,
        train=split(train_x, raw.y[train], augment),
        val=split(raw.x[val], raw.y[val]),
        test=split(test_x, test_y),
        input_shape=tuple(raw.x.shape[1:]),
        classes=raw.classes,
        digest=digest("raw/1", repr(augment), raw.x, raw.y, test_x, test_y, train, val),
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

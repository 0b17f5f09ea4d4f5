"""`image-folder`: a folder of images for each class, as torchvision's ``ImageFolder`` reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

from autocompress.data.dataset import Data, DataSpec
from autocompress.data.own import from_datasets
from autocompress.data.splits import stratified
from autocompress.errors import DataError

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's models


def image_folder(spec: DataSpec, device: torch.device | str) -> Data:
    """Read ``root/train/CLASS/*``, ``root/val`` and ``root/test``.

    The shorter side is resized to ``spec.image_size`` pixels, the centre cropped square, and the
    channels standardised with ImageNet's statistics. Without ``val``, a stratified tenth of
    ``train`` (or ``spec.val_fraction``) is taken for it; without ``test``, ``val`` is the test set
    (ImageNet's layout) and validation is again taken from ``train``. Small folders are held as
    tensors, large ones streamed.

    Raises:
        DataError: No root given, folders missing, or not the same classes in each.
    """
    if spec.root is None:
        raise DataError(
            "data set 'image-folder' needs the folder: --data-root DIR (root=... in Python), "
            "with DIR/train/CLASS/*.jpg, and DIR/val or DIR/test or both"
        )
    root = Path(spec.root)
    parts = {part: _open(root / part, spec) for part in ("train", "val", "test")}
    train, val, test = parts["train"], parts["val"], parts["test"]
    if train is None or (val is None and test is None):
        present = [part for part, found in parts.items() if found is not None]
        raise DataError(
            f"data set 'image-folder': {root} has {present or 'no splits'}; needed are the folder "
            "train and at least one of val and test, each with a folder of images for each class"
        )
    for part, found in parts.items():
        if found is not None and found.classes != train.classes:
            raise DataError(
                f"data set 'image-folder': {root / part} has other classes than {root / 'train'}"
            )
    if test is None:
        val, test = None, val
    kept: Any = train
    if val is None:
        fraction = 0.1 if spec.val_fraction is None else spec.val_fraction
        rest, held = stratified(torch.tensor(train.targets), [fraction], spec.seed)
        kept, val = Subset(train, rest.tolist()), Subset(train, held.tolist())
    data = from_datasets(
        kept,
        val,
        test,
        classes=len(train.classes),
        name=spec.name,
        device=device,
        workers=spec.workers,
    )
    return replace(data, spec=spec)


def _open(folder: Path, spec: DataSpec) -> Any:
    """Return the ``ImageFolder``, or None if there is no such folder."""
    from torchvision import datasets
    from torchvision.transforms import v2

    if not folder.is_dir():
        return None
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(spec.image_size, antialias=True),
            v2.CenterCrop(spec.image_size),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _STD),
            v2.ToPureTensor(),
        ]
    )
    try:
        return datasets.ImageFolder(str(folder), transform)
    except (FileNotFoundError, RuntimeError) as error:
        raise DataError(f"data set 'image-folder': {str(error).splitlines()[0]}") from error

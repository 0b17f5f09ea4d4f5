"""The registry of named data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from autocompress.data.augment import CropFlip
from autocompress.data.dataset import Data, DataSpec
from autocompress.data.folder import image_folder
from autocompress.data.raw import Raw, prepare
from autocompress.data.split import Augment
from autocompress.data.vision import TorchvisionReader

Load = Callable[[DataSpec, torch.device | str], Data]


@dataclass(frozen=True)
class Source:
    """A named data set.

    Args:
        summary: One line for ``autocompress list data``.
        load: Makes the data of a spec on a device.
        shape: Shape of one example, without the batch; None where the files tell.
        classes: Number of classes; None where the files tell.
    """

    summary: str
    load: Load
    shape: tuple[int, ...] | None = None
    classes: int | None = None


def _images(
    read: Callable[[DataSpec], Raw],
    *,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    augment: Augment | None = None,
) -> Load:
    """Make a loader of a reader: splitting and scaling are the same for all."""

    def load(spec: DataSpec, device: torch.device | str) -> Data:
        return prepare(
            read(spec),
            spec,
            device,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            augment=augment,
        )

    return load


def _digits(spec: DataSpec) -> Raw:
    """Alpaydin & Kaynak's digits (UCI, test part): 1,797 images of 8x8 with values 0 to 16."""
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    del spec  # ships with scikit-learn: no root
    bunch = load_digits()
    x = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    return Raw(x, torch.from_numpy(bunch.target).to(torch.int64), None, 10, full_scale=16.0)


def _cifar(dataset: str, folder: str, classes: int) -> Load:
    return _images(TorchvisionReader(dataset, folder, classes), augment=CropFlip())


SOURCES: dict[str, Source] = {
    "digits": Source(
        "1,797 digits, 1x8x8, 10 classes (ships with scikit-learn)",
        _images(_digits, val_fraction=0.2),
        (1, 8, 8),
        10,
    ),
    "mnist": Source(
        "70,000 handwritten digits, 1x28x28, 10 classes",
        _images(TorchvisionReader("MNIST", "MNIST", 10)),
        (1, 28, 28),
        10,
    ),
    "fashion-mnist": Source(
        "70,000 pieces of clothing, 1x28x28, 10 classes",
        _images(TorchvisionReader("FashionMNIST", "FashionMNIST", 10)),
        (1, 28, 28),
        10,
    ),
    "cifar10": Source(
        "60,000 photographs, 3x32x32, 10 classes; crops and flips in training",
        _cifar("CIFAR10", "cifar-10-batches-py", 10),
        (3, 32, 32),
        10,
    ),
    "cifar100": Source(
        "60,000 photographs, 3x32x32, 100 classes; crops and flips in training",
        _cifar("CIFAR100", "cifar-100-python", 100),
        (3, 32, 32),
        100,
    ),
    "image-folder": Source(
        "your images: --data-root DIR with train/CLASS/*.jpg and val or test likewise",
        image_folder,
    ),
}

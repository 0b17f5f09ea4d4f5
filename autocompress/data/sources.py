"""The registry of named data sets.

A source only reads; splitting, scaling and placing on a device is the same for all of them
(:mod:`autocompress.data.build`), except for sources that give finished splits themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.data.dataset import Data, DataSpec


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source of images read, before splitting and scaling.

    Args:
        x: uint8, ``(n, channels, height, width)``.
        y: int64, ``(n,)``.
        test: The official test examples in the same form; None if there are none, and the
            examples are then split three ways.
        full_scale: Value of ``x`` that becomes 1.
    """

    x: Tensor
    y: Tensor
    test: tuple[Tensor, Tensor] | None
    classes: int
    full_scale: float = 255.0


@dataclass(frozen=True)
class Source:
    """A named data set.

    Args:
        summary: One line for ``autocompress list data``.
        read: Gives the images whole, or finished :class:`Data` for what is not images in memory.
        val_fraction: Default share of the training examples used for validation.
        test_fraction: Share used as test set where there is no official one.
        augment: Name of the random changes made to training batches (:mod:`.augment`), or None.
    """

    summary: str
    read: Callable[[DataSpec], Raw | Callable[[torch.device], Data]]
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    augment: str | None = None


def _digits(spec: DataSpec) -> Raw:
    """Alpaydin & Kaynak's digits (UCI, test part), 1,797 images of 8x8 with values 0 to 16."""
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    del spec  # ships with scikit-learn: no root
    bunch = load_digits()
    x = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    return Raw(x, torch.from_numpy(bunch.target).to(torch.int64), None, 10, full_scale=16.0)


SOURCES: dict[str, Source] = {
    "digits": Source("1,797 digits, 1x8x8, 10 classes (ships with scikit-learn)", _digits, 0.2),
}

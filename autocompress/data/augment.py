"""Random changes to whole training batches, on their device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autocompress.errors import DataError


@dataclass(frozen=True)
class CropFlip:
    """Random crops of the zero-padded image, and horizontal flips, each image its own.

    The usual augmentation for CIFAR: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for
    image recognition", CVPR 2016, §4.2.

    Args:
        padding: Pixels added on each side before cropping back.
        flip: Whether half of the images are mirrored.
    """

    padding: int = 4
    flip: bool = True

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of ``x``, ``(batch, channels, height, width)``."""
        height, width = x.shape[2:]
        wide = width + 2 * self.padding
        rows = _draw(2 * self.padding + 1, x, generator) + torch.arange(height, device=x.device)
        columns = torch.arange(width, device=x.device).expand(len(x), -1)
        if self.flip:
            columns = torch.where(_draw(2, x, generator) == 1, columns.flip(1), columns)
        columns = columns + _draw(2 * self.padding + 1, x, generator)
        padded = functional.pad(x, (self.padding,) * 4)
        return _pixels(padded, rows, columns, wide).view_as(x)


@dataclass(frozen=True)
class Shift:
    """Moves every image up or down and left or right, each by its own number of pixels.

    What comes in from outside repeats the pixels of the edge.

    Args:
        pixels: Furthest along either axis, >= 0.

    Raises:
        DataError: It is no such number.
    """

    pixels: int = 1

    def __post_init__(self) -> None:
        if type(self.pixels) is not int or self.pixels < 0:
            raise DataError(f"Shift: pixels = {self.pixels!r}: accepted is an integer >= 0")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return moved copies of ``x``, ``(batch, channels, height, width)``."""
        rows, columns = (
            (_draw(2 * self.pixels + 1, x, generator) - self.pixels)
            .add(torch.arange(side, device=x.device))
            .clamp(0, side - 1)
            for side in x.shape[2:]
        )
        return _pixels(x, rows, columns, x.shape[3]).view_as(x)


def _draw(high: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return an integer from 0 to ``high - 1`` for each image: ``(batch, 1)``."""
    values = torch.randint(high, (len(x), 1), generator=generator, device=generator.device)
    return values.to(x.device)


def _pixels(x: Tensor, rows: Tensor, columns: Tensor, width: int) -> Tensor:
    """Return each image's pixels in its rows and columns, ``(batch, channels, rows * columns)``."""
    index = (rows[:, :, None] * width + columns[:, None, :]).view(len(x), 1, -1)
    return x.flatten(2).gather(2, index.expand(-1, x.shape[1], -1))

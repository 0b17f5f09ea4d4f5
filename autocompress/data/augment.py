"""Random changes to whole training batches, on their device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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
        batch, channels, height, width = x.shape
        wide = width + 2 * self.padding

        def draw(high: int) -> Tensor:
            values = torch.randint(high, (batch, 1), generator=generator, device=generator.device)
            return values.to(x.device)

        rows = draw(2 * self.padding + 1) + torch.arange(height, device=x.device)
        columns = torch.arange(width, device=x.device).expand(batch, -1)
        if self.flip:
            columns = torch.where(draw(2) == 1, columns.flip(1), columns)
        columns = columns + draw(2 * self.padding + 1)
        index = (rows[:, :, None] * wide + columns[:, None, :]).view(batch, 1, -1)
        padded = functional.pad(x, (self.padding,) * 4).flatten(2)
        return padded.gather(2, index.expand(-1, channels, -1)).view_as(x)

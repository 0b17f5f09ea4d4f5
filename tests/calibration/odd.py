"""A network of every kind of layer, and data for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocompress import data as ac_data
from autocompress.data import Data

SIDE = 7
LAYERS = ("stem", "grouped", "mirrored", "along", "mix", "frozen", "out")


class Odd(nn.Module):
    """Every kind of convolution there is, a batch norm, in-place functions, a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 6, (3, 2), padding="same", dilation=(1, 2), groups=2)
        self.mirrored = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect", groups=6)
        self.along = nn.Conv1d(6, 5, 3, stride=2, padding=2)
        self.mix = nn.Linear(5, 5)  # at every position
        self.norm = nn.LayerNorm(5)
        self.spare = nn.Linear(3, 3)
        self.twice = nn.Linear(5, 5)
        self.frozen = nn.Linear(5, 4)
        self.frozen.requires_grad_(False)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn(self.stem(x)))
        x = F.relu_(self.grouped(x))
        x = self.along(input=self.mirrored(x).flatten(2))
        x = self.norm(torch.tanh(self.mix(x.transpose(1, 2)))).mean(1)
        x = self.twice(torch.tanh(self.twice(x)))
        return self.out(torch.tanh(self.frozen(x)))


def make_data(x: Tensor, classes: int = 3) -> Data:
    y = torch.arange(len(x)) % classes
    return ac_data.from_tensors(train=(x, y), val=(x[:classes], y[:classes]), test=(x[:3], y[:3]))

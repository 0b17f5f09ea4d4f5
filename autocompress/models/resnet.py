"""The small residual networks for CIFAR.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, §4.2:
a 3x3 convolution, three stages of ``n`` basic blocks with 16, 32 and 64 channels, global average
pooling, one linear layer; ``6 n + 2`` layers with weights.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from autocompress.errors import ModelError

Shortcut = Literal["A", "B"]


class PadShortcut(nn.Module):
    """Option A: every second pixel, with zero channels added on both sides; no parameters."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` to ``(batch, c + extra, ceil(h / 2), ceil(w / 2))``."""
        before = self.extra // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.extra - before))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to the shortcut.

    Args:
        inputs: Channels coming in.
        outputs: Channels going out; more than ``inputs`` halves the resolution.
        shortcut: ``A`` (zero padding) or ``B`` (1x1 convolution) where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, shortcut: Shortcut) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2 and shortcut == "A":
            self.shortcut = PadShortcut(outputs - inputs)
        elif stride == 2:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, inputs, h, w)`` to ``(batch, outputs, h / stride, w / stride)``."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu2(out + self.shortcut(x))
        return result


class CifarResNet(nn.Module):
    """A residual network of ``6 * blocks + 2`` layers.

    Args:
        input_shape: ``(channels, height, width)``, sides of at least 4.
        classes: Number of classes.
        blocks: Basic blocks a stage; 3 gives ResNet-20.
        shortcut: ``A`` as in the paper's CIFAR experiments (269,722 parameters on CIFAR-10), or
            ``B`` (272,474), which dependency-aware pruning understands better.

    Raises:
        ModelError: The input is not an image or too small.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (3, 32, 32),
        classes: int = 10,
        blocks: int = 3,
        shortcut: Shortcut = "B",
    ) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 4:
            raise ModelError(
                f"a ResNet needs images of at least 4x4 pixels, not inputs of shape {input_shape}"
            )
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.stage1 = _stage(16, 16, blocks, shortcut)
        self.stage2 = _stage(16, 32, blocks, shortcut)
        self.stage3 = _stage(32, 64, blocks, shortcut)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        out: Tensor = self.fc(self.flatten(self.pool(x)))
        return out


def _stage(inputs: int, outputs: int, blocks: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, shortcut)
    rest = (BasicBlock(outputs, outputs, shortcut) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)

"""A small convolutional network for scikit-learn's 8x8 digits: seconds to train on one core."""

from __future__ import annotations

from torch import Tensor, nn

from autocompress.errors import ModelError


class DigitsCNN(nn.Module):
    """Two 3x3 convolutions with pooling, two linear layers; 13,706 parameters on 1x8x8 inputs.

    Args:
        input_shape: ``(channels, height, width)``, sides of at least 4.
        classes: Number of classes.

    Raises:
        ModelError: The input is not an image or too small.
    """

    def __init__(self, input_shape: tuple[int, ...] = (1, 8, 8), classes: int = 10) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 4:
            raise ModelError(
                f"digits-cnn needs images of at least 4x4 pixels, not inputs of shape {input_shape}"
            )
        channels, height, width = input_shape
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32 * (height // 4) * (width // 4), 64)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        out: Tensor = self.fc2(self.relu3(self.fc1(self.flatten(x))))
        return out

"""LeNet-300-100 and Caffe's LeNet-5, the two small networks of the compression literature.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 86(11), 1998; LeNet-5 in the form of Caffe's ``examples/mnist``.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from autocompress.errors import ModelError


class LeNet300(nn.Module):
    """Inputs - 300 - 100 - classes, fully connected; 266,610 parameters on MNIST.

    Args:
        input_shape: Shape of one example; flattened.
        classes: Number of classes.
        activation: ``nn.Tanh`` as in the L-C papers, or another activation's class.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        classes: int = 10,
        activation: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(math.prod(input_shape), 300)
        self.act1 = activation()
        self.fc2 = nn.Linear(300, 100)
        self.act2 = activation()
        self.fc3 = nn.Linear(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, *input_shape)`` to logits ``(batch, classes)``."""
        x = self.act1(self.fc1(self.flatten(x)))
        out: Tensor = self.fc3(self.act2(self.fc2(x)))
        return out


class LeNet5(nn.Module):
    """Caffe's LeNet-5: 20 and 50 filters of 5x5, 500 units; 431,080 parameters on MNIST.

    As in Caffe there is no nonlinearity after the convolutions but the max pooling.

    Args:
        input_shape: ``(channels, height, width)``, sides of at least 16.
        classes: Number of classes.

    Raises:
        ModelError: The input is not an image or too small.
    """

    def __init__(self, input_shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 16:
            raise ModelError(
                f"lenet5 needs images of at least 16x16 pixels, not inputs of shape {input_shape}"
            )
        channels, height, width = input_shape
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(50 * _after_convolutions(height) * _after_convolutions(width), 500)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        out: Tensor = self.fc2(self.relu(self.fc1(self.flatten(x))))
        return out


def _after_convolutions(side: int) -> int:
    return ((side - 4) // 2 - 4) // 2

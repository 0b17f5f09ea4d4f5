"""The models known by name, and building any of them untrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from autocompress.data import Data
from autocompress.errors import ConfigError, unknown
from autocompress.models.check import check_on
from autocompress.models.digits_cnn import DigitsCNN
from autocompress.models.lenet import LeNet5, LeNet300
from autocompress.models.outside import from_factory, from_torchvision
from autocompress.models.resnet import CifarResNet
from autocompress.models.training import Training

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A model known by name.

    Args:
        summary: One line for ``autocompress list models``.
        build: Makes it for ``(input_shape, classes)``.
        training: How its reference is trained.
    """

    summary: str
    build: Callable[[Shape, int], nn.Module]
    training: Training


# Nesterov SGD as in the L-C papers, but 30 epochs: validation accuracy is flat after about 15.
_LENET300 = Training(epochs=30, batch_size=256, lr=0.1, schedule="exponential", lr_decay=0.9)
# He et al. (CVPR 2016, §4.2) with a cosine instead of two steps; about 8 % error on CIFAR-10.
_RESNET = Training(epochs=160, batch_size=128, lr=0.1, schedule="cosine", weight_decay=1e-4)
# For any model: Adam asks least of the scale of inputs and weights.
_GENERAL = Training(epochs=30, batch_size=128, lr=1e-3, optimizer="adam", weight_decay=1e-4)

ZOO: dict[str, Entry] = {
    "digits-cnn": Entry(
        "two convolutions and two linear layers for 8x8 digits; 13,706 parameters",
        DigitsCNN,
        Training(epochs=40, batch_size=64, lr=0.05, schedule="cosine", weight_decay=1e-4),
    ),
    "lenet300": Entry("LeNet-300-100 with tanh; 266,610 parameters", LeNet300, _LENET300),
    "lenet300-relu": Entry(
        "LeNet-300-100 with ReLU; 266,610 parameters",
        partial(LeNet300, activation=nn.ReLU),
        _LENET300,
    ),
    "lenet5": Entry(
        "Caffe's LeNet-5 (20-50-500); 431,080 parameters",
        LeNet5,
        Training(epochs=20, batch_size=128, lr=0.02, schedule="cosine", weight_decay=5e-4),
    ),
    "resnet20": Entry(
        "ResNet-20 for CIFAR, 1x1-convolution shortcuts; 272,474 parameters", CifarResNet, _RESNET
    ),
    "resnet20-a": Entry(
        "ResNet-20 for CIFAR, zero-padding shortcuts as published; 269,722 parameters",
        partial(CifarResNet, shortcut="A"),
        _RESNET,
    ),
}


def names() -> list[str]:
    """Return the names of the zoo (``torchvision:NAME`` and ``module:factory`` come on top)."""
    return sorted(ZOO)


def describe() -> dict[str, str]:
    """Return one line about each model of the zoo."""
    return {name: entry.summary for name, entry in sorted(ZOO.items())}


def build(
    name: str,
    data: Data | None = None,
    *,
    input_shape: Shape | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build an untrained model.

    Args:
        name: A name of the zoo, ``torchvision:NAME``, or ``module:factory`` (a callable of your
            own on Python's path or in the current folder, taking the data or nothing).
        data: What it is for; gives shapes and device.
        input_shape: Instead of ``data``: shape of one example.
        classes: Instead of ``data``: number of classes.
        seed: Decides the initial weights; torch's global generator is left alone.

    Returns:
        The model in evaluation mode, on the device of ``data``.

    Raises:
        UnknownName: No model of this name.
        ModelError: It cannot be built, or does not take such inputs.
    """
    if data is not None:
        input_shape, classes = data.input_shape, data.classes
    if input_shape is None or classes is None:
        raise ConfigError(f"model {name!r}: give data, or both input_shape and classes")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make(name, data, input_shape, classes, seed)
    model = model.to(data.device if data is not None else "cpu").eval()
    example = torch.zeros(2, *input_shape) if data is None else data.example(2)
    check_on(model, example, classes, name=name)
    return model


def _make(name: str, data: Data | None, input_shape: Shape, classes: int, seed: int) -> nn.Module:
    if name in ZOO:
        return ZOO[name].build(input_shape, classes)
    if name.startswith("torchvision:"):
        return from_torchvision(name.removeprefix("torchvision:"), classes)
    if ":" in name:
        return from_factory(name, data, seed)
    raise unknown("model", name, [*ZOO, "torchvision:NAME", "module:factory"])


def training_of(name: str) -> Training:
    """Return how the reference of a model is trained by default."""
    return ZOO[name].training if name in ZOO else _GENERAL

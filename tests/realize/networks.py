"""Toy networks with structure to thin and factorize, and their direct compression."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.plan import Plan


class Chain(nn.Module):
    """LeNet-like: two convolutions with pooling, flattened into two linear layers."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.act2 = activation()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(8 * 3 * 3, 20)
        self.act3 = activation()
        self.fc2 = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act2(self.conv2(self.act1(self.conv1(x)))))
        out: Tensor = self.fc2(self.act3(self.fc1(self.flatten(x))))
        return out


class Normed(nn.Module):
    """Convolution, batch norm, relu, twice; with statistics that are not those of a fresh norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 7, 3)
        self.bn2 = nn.BatchNorm2d(7)
        self.head = nn.Linear(7, 5)
        for norm in (self.bn1, self.bn2):
            for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
                assert tensor is not None
                tensor.normal_()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Residual(nn.Module):
    """A stem, one residual block added to it, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.conv2(torch.relu(self.conv1(x))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def mlp(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 30),
        activation(),
        nn.Linear(30, 20),
        activation(),
        nn.Linear(20, 5),
    )


def images(batch: int = 7) -> Tensor:
    return torch.randn(batch, 1, 8, 8)


def direct(model: nn.Module, plan: Plan) -> tuple[nn.Module, Plan, dict[str, Code]]:
    """Directly compress: return the decoded model, the resolved plan and the codes."""
    decoded = copy.deepcopy(model).eval()
    resolved = plan.resolve(decoded)
    codes: dict[str, Code] = {}
    for task in resolved.tasks:
        weights = [decoded.get_parameter(name) for name in task.params]
        codes[task.name] = task.compression.project(tuple(weights), mu=1.0)
        for weight, value in zip(weights, codes[task.name].decode(), strict=True):
            weight.data = value
    return decoded, resolved, codes

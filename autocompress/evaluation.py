"""Loss and accuracy of a model on one split of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocompress.data import Split

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of outputs ``(batch, classes)`` and labels ``(batch,)``: a scalar tensor."""


@dataclass(frozen=True)
class Evaluation:
    """Mean loss, top-1 accuracy (a fraction) and the number of samples they are of."""

    loss: float
    accuracy: float
    samples: int


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, without gradients; restore every submodule's own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # not inference_mode: what a forward caches there could not be trained with later
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    model: nn.Module, split: Split, batch_size: int = 1024, loss: Loss = F.cross_entropy
) -> Evaluation:
    """Evaluate a model in evaluation mode, without gradients; it is left in the mode it was in."""
    total = torch.zeros((), dtype=torch.float64, device=split.device)
    correct = torch.zeros((), dtype=torch.int64, device=split.device)
    with evaluating(model):
        for inputs, labels in split.batches(batch_size):
            outputs = model(inputs).float()
            total += loss(outputs, labels) * len(labels)
            correct += (outputs.argmax(1) == labels).sum()
    return Evaluation(float(total) / len(split), int(correct) / len(split), len(split))

"""Loss and accuracy of a model on one split of the data."""

from __future__ import annotations

from collections.abc import Callable
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


def evaluate(
    model: nn.Module, split: Split, batch_size: int = 1024, loss: Loss = F.cross_entropy
) -> Evaluation:
    """Evaluate a model in evaluation mode, without gradients; its mode is put back afterwards."""
    training = model.training
    model.eval()
    total_loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    samples = 0
    with torch.inference_mode():
        for inputs, labels in split.batches(batch_size):
            outputs = model(inputs)
            total_loss = total_loss + loss(outputs, labels) * len(labels)
            correct = correct + (outputs.argmax(1) == labels).sum()
            samples += len(labels)
    model.train(training)
    return Evaluation(float(total_loss) / samples, int(correct) / samples, samples)

"""How a reference is trained: the settings, and the one training loop.

Written for classification with cross-entropy. The epoch is chosen on the validation split; the
test split is not read.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from autocompress.data import Data, Split
from autocompress.errors import ModelError
from autocompress.evaluation import evaluate
from autocompress.settings import Settings

Progress = Callable[[int, int, float], None]
"""Called after every epoch as ``progress(epoch, epochs, val_accuracy)``, epochs from 1."""


class Training(Settings):
    """Settings of a reference's training.

    Args:
        epochs: Passes over the training split.
        batch_size: Examples a step.
        lr: Learning rate of the first step.
        optimizer: ``sgd`` with Nesterov momentum, or ``adam`` (``momentum`` is then its beta1).
        momentum: Momentum.
        weight_decay: L2 penalty in the gradient (``adam``: decoupled).
        schedule: ``exponential``: times ``lr_decay`` after each epoch; ``cosine``: to 0 over the
            epochs; ``constant``.
        lr_decay: See ``schedule``.
    """

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=0.05, gt=0)
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = Field(default=0.9, gt=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["exponential", "cosine", "constant"] = "cosine"
    lr_decay: float = Field(default=1.0, gt=0, le=1)

    def lr_at(self, epoch: int) -> float:
        """Learning rate during ``epoch`` (from 0)."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return self.lr * self.lr_decay**epoch if self.schedule == "exponential" else self.lr


@dataclass(frozen=True)
class Outcome:
    """What a training reached on the validation split, at the epoch that was kept.

    Args:
        epoch: The epoch kept; 0 is the weights it started from.
        accuracy: Share of right answers, in [0, 1].
        loss: Mean cross-entropy, in nats.
        diverged: A loss was not finite and training stopped early.
    """

    epoch: int
    accuracy: float
    loss: float
    diverged: bool = False

    def better_than(self, other: Outcome) -> bool:
        """Tell whether it is preferable: accuracy first, the loss among equals."""
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


def train(
    model: nn.Module,
    data: Data,
    training: Training,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Train a model in place and leave it, in evaluation mode, at its best validation epoch.

    The weights it starts with count as epoch 0, so a trained model never gets worse. Torch's
    global generators are as before when it returns.

    Args:
        model: On the device of ``data``.
        data: Trained on ``data.train``, chosen on ``data.val``.
        training: Settings.
        seed: Decides the order of the examples and what the model itself draws (dropout).
        progress: See :data:`Progress`.

    Raises:
        ModelError: The loss became NaN or infinite before any epoch improved on the start.
    """
    devices = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        best = _epochs(model, data, training, seed, progress)
    model.eval()
    if best.diverged and best.epoch == 0:
        raise ModelError(
            f"training diverged (the loss is no longer finite) at learning rate {training.lr}: "
            "try a smaller one"
        )
    return best


def _outcome(epoch: int, model: nn.Module, data: Data) -> Outcome:
    validation = evaluate(model, data.val)
    return Outcome(epoch, validation.accuracy, validation.loss)


def _epochs(
    model: nn.Module, data: Data, training: Training, seed: int, progress: Progress | None
) -> Outcome:
    optimizer = _optimizer(model, training)
    generator = torch.Generator().manual_seed(seed)
    best = _outcome(0, model, data)
    state = _snapshot(model)
    diverged = False
    for epoch in range(1, training.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = training.lr_at(epoch - 1)
        _one_epoch(model, data.train, training.batch_size, optimizer, generator)
        now = _outcome(epoch, model, data)
        diverged = not math.isfinite(now.loss)
        if diverged:
            break
        if now.better_than(best):
            best, state = now, _snapshot(model)
        if progress is not None:
            progress(epoch, training.epochs, now.accuracy)
    model.load_state_dict(state)
    return Outcome(best.epoch, best.accuracy, best.loss, diverged)


def _one_epoch(
    model: nn.Module,
    split: Split,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    model.train()
    for x, y in split.batches(batch_size, generator=generator):
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(functional.cross_entropy(model(x), y))
        optimizer.step()


def _optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ModelError("the model has no parameters that can be trained")
    lr, decay = training.lr, training.weight_decay
    if training.optimizer == "adam":
        betas = (training.momentum, 0.999)
        return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr, training.momentum, weight_decay=decay, nesterov=True, fused=True
    )


def _snapshot(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy({name: value.detach() for name, value in model.state_dict().items()})

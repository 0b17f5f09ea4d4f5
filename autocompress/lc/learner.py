"""The L step: training under the quadratic pull."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocompress.data import Data
from autocompress.evaluation import Evaluation, Loss, evaluate
from autocompress.lc.budget import LStep
from autocompress.lc.penalty import Penalty
from autocompress.lc.regularizers import bind
from autocompress.recipe import LC, SGD, Adam

_SAMPLE = 4096
"""Training examples used where a loss over the training data is wanted without training."""


class Learner(Protocol):
    """Trains and evaluates for the L-C loop."""

    def learn(self, model: nn.Module, penalty: Penalty, budget: LStep) -> float:
        """Train ``model`` in place; called once per L-C step.

        Returns:
            The mean loss of the L step without the penalty; NaN or infinity means divergence.
        """

    def validate(self, model: nn.Module) -> Evaluation:
        """Evaluate on validation data; called after every C step."""

    def sample_loss(self, model: nn.Module) -> float:
        """Return the mean loss on a fixed sample of training data; called once, at the start."""

    def iterations(self, epochs: int) -> int:
        """Return the number of optimizer steps in so many epochs."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that makes the next L step what it will be (random generators)."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved :meth:`state`, bit for bit."""


class Trainer:
    """The default learner: minibatch training with a fused optimizer.

    Args:
        data: Train and validation splits; the test split is not touched.
        recipe: Optimizer, batch size and precision.
        seed: Fixes the order of the minibatches.
        loss: Loss of outputs and labels.
    """

    def __init__(self, data: Data, recipe: LC, seed: int = 0, loss: Loss = F.cross_entropy) -> None:
        self._data = data
        self._recipe = recipe
        self._loss = loss
        self._generator = torch.Generator().manual_seed(seed)
        self._sample = data.train.subset(_SAMPLE)

    def learn(self, model: nn.Module, penalty: Penalty, budget: LStep) -> float:
        model.train()
        optimizer = make_optimizer(model, self._recipe.optimizer, budget.lr, penalty)
        params = [p for group in optimizer.param_groups for p in group["params"]]
        device = params[0].device
        terms = bind(model, self._recipe.regularizers)
        precision = (
            torch.autocast(device.type, torch.bfloat16) if self._recipe.amp else nullcontext()
        )
        total, iterations = 0.0, 0
        for _ in range(budget.epochs):
            losses: list[Tensor] = []  # read once an epoch: reading one waits for the device
            for inputs, labels in self._data.train.batches(
                self._recipe.batch_size, generator=self._generator
            ):
                for param in params:
                    param.grad = None
                with precision:
                    loss = self._loss(model(inputs), labels)
                loss.backward()
                penalty.subtract_pull()
                if terms is not None:
                    terms.add_gradients()
                optimizer.step()
                if terms is not None:
                    terms.shrink(budget.lr)
                losses.append(loss.detach())
            total += float(torch.stack(losses).sum(dtype=torch.float64))
            iterations += len(losses)
            if not math.isfinite(total):
                return math.nan
        model.eval()
        return total / iterations

    def validate(self, model: nn.Module) -> Evaluation:
        return evaluate(model, self._data.val, loss=self._loss)

    def sample_loss(self, model: nn.Module) -> float:
        return evaluate(model, self._sample, loss=self._loss).loss

    def iterations(self, epochs: int) -> int:
        return epochs * math.ceil(len(self._data.train) / self._recipe.batch_size)

    def state(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"])


def make_optimizer(
    model: nn.Module, settings: SGD | Adam, lr: float, penalty: Penalty
) -> torch.optim.Optimizer:
    """Build the optimizer of one L step over all of the model's trainable parameters.

    The penalty's ``mu w`` is weight decay on the compressed parameters (both optimizers add it to
    the gradient before anything else), so the fused kernel does it without another pass.
    """
    compressed = {id(p) for p in penalty.params}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in trainable if id(p) in compressed],
            "weight_decay": settings.weight_decay + penalty.mu,
        },
        {
            "params": [p for p in trainable if id(p) not in compressed],
            "weight_decay": settings.weight_decay,
        },
    ]
    if isinstance(settings, Adam):
        return torch.optim.Adam(groups, lr, settings.betas, fused=True)
    nesterov = settings.nesterov and settings.momentum > 0
    return torch.optim.SGD(groups, lr, settings.momentum, nesterov=nesterov, fused=True)

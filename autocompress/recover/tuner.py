"""Fine-tuning: training the numbers of a code while its decisions stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from autocompress.compressed import Compressed, assemble, decode
from autocompress.compression import Code
from autocompress.data import Data
from autocompress.errors import ModelError
from autocompress.evaluation import Evaluation, Loss, evaluate
from autocompress.lc.learner import make_optimizer
from autocompress.lc.penalty import Penalty
from autocompress.recipe import SGD, Adam
from autocompress.recover.leaves import leaves, rebuilt

OnEpoch = Callable[[int, Evaluation], object]
"""Called after every epoch with its number and the validation of the model it left."""


def finetune(
    compressed: Compressed,
    data: Data,
    *,
    epochs: int = 10,
    optimizer: SGD | Adam | None = None,
    batch_size: int = 128,
    amp: bool = False,
    seed: int = 0,
    loss: Loss = F.cross_entropy,
    on_epoch: OnEpoch | None = None,
) -> Compressed:
    """Train what a compressed model still has to choose: its real numbers.

    Which weights survive, which codebook entry each one takes, the ranks: all that stays, and the
    survivors, codebook entries, factors and scales are trained by the chain rule through the
    decoded weights, together with all parameters that are not compressed. For pruning this is the
    masked retraining of Han et al. (2015), for codebooks their training of centroids. The learning
    rate falls to zero along a half cosine. Numbers stored in fewer bits are trained in full
    precision and rounded for each validation.

    Args:
        compressed: Where to start; left as it is.
        data: Trained on ``data.train``; the epoch is chosen on ``data.val``.
        epochs: Passes over the training data.
        optimizer: Its learning rate is the first one; default ``Adam(lr=5e-4)``. With SGD mind that
            the gradient of a codebook entry is a sum over all weights that take it.
        batch_size: Samples.
        amp: Run the forward pass under bfloat16 autocast.
        seed: Fixes the order of the minibatches and dropout.
        loss: Mean loss of outputs ``(batch, classes)`` and labels ``(batch,)``.
        on_epoch: See :data:`OnEpoch`.

    Returns:
        The model of the best epoch by validation accuracy, then loss; epoch 0, the model as it
        was, among them. Its size is the same up to entropy coding.

    Raises:
        ModelError: there is nothing to train.
    """
    devices = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        tuner = _Tuner(compressed, optimizer or Adam(lr=5e-4), loss)
        best = tuner.validated(data)
        steps = epochs * math.ceil(len(data.train) / batch_size)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(1, epochs + 1):
            if not tuner.train(data, batch_size, generator, steps, amp):
                break
            now = tuner.validated(data)
            if on_epoch is not None:
                on_epoch(epoch, now.validation)
            best = now if now.better_than(best) else best
    return replace(compressed, model=best.model, codes=best.codes)


@dataclass(frozen=True, eq=False)
class _Point:
    """A model along the way, and how it validates."""

    model: nn.Module
    codes: dict[str, Code]
    validation: Evaluation

    def better_than(self, other: _Point) -> bool:
        ours, theirs = self.validation, other.validation
        return (ours.accuracy, -ours.loss) > (theirs.accuracy, -theirs.loss)


class _Tuner:
    """The numbers being trained, and the steps."""

    def __init__(self, compressed: Compressed, settings: SGD | Adam, loss: Loss) -> None:
        self.compressed = compressed
        self.loss = loss
        coded = {name for task in compressed.plan.tasks for name in task.params}
        self.model = assemble(
            compressed.model,
            decode(compressed.plan, compressed.codes),
            {n: v for n, v in compressed.model.state_dict().items() if n not in coded},
            source="finetune",
        )
        self.coded = coded
        filters = [p for p in self.model.parameters() if p.dim() == 4]
        last = all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
        self.format = torch.channels_last if filters and last else torch.contiguous_format
        for name, param in self.model.named_parameters():
            param.requires_grad_(param.requires_grad and name not in coded)
        self.values = {
            name: [nn.Parameter(value) for value in leaves(code)]
            for name, code in compressed.codes.items()
        }
        trained = nn.ParameterList([v for values in self.values.values() for v in values])
        everything = nn.ModuleList([self.model, trained])
        if not any(p.requires_grad for p in everything.parameters()):
            raise ModelError("finetune: the compressed model has no numbers left to train")
        self.lr, self.step = settings.lr, 0
        self.optimizer = make_optimizer(
            everything, settings, settings.lr, Penalty([], [], None, 0.0)
        )

    def weights(self, *, rounded: bool) -> dict[str, Tensor]:
        """Return the decoded weights as functions of the numbers, laid out as the model's are."""
        decoded = decode(self.compressed.plan, self.codes(rounded=rounded))
        return {
            name: value.contiguous(memory_format=self.format) if value.dim() == 4 else value
            for name, value in decoded.items()
        }

    def codes(self, *, rounded: bool) -> dict[str, Code]:
        """Return the codes with the numbers of now."""
        return {
            name: rebuilt(code, self.values[name], rounded=rounded)
            for name, code in self.compressed.codes.items()
        }

    def train(
        self, data: Data, batch_size: int, generator: torch.Generator, steps: int, amp: bool
    ) -> bool:
        """Train for an epoch; return whether the loss stayed finite."""
        self.model.train()
        device = data.device.type
        precision = torch.autocast(device, torch.bfloat16) if amp else nullcontext()
        last = torch.zeros(())
        for inputs, labels in data.train.batches(batch_size, generator=generator):
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * self.step / steps))
            self.optimizer.zero_grad(set_to_none=True)
            with precision:
                outputs = functional_call(self.model, self.weights(rounded=False), (inputs,))
                loss = self.loss(outputs, labels)
            torch.autograd.backward(loss)
            last = loss.detach()
            self.optimizer.step()
            self.step += 1
        self.model.eval()
        return math.isfinite(float(last))

    @torch.no_grad()
    def validated(self, data: Data) -> _Point:
        """Return a copy of the model as it would be packed now, and its validation."""
        detached = {
            name: [v.detach().clone() for v in values] for name, values in self.values.items()
        }
        codes = {
            name: rebuilt(code, detached[name], rounded=True)
            for name, code in self.compressed.codes.items()
        }
        rest = {n: v for n, v in self.model.state_dict().items() if n not in self.coded}
        decoded = decode(self.compressed.plan, codes)
        model = assemble(self.compressed.model, decoded, rest, source="finetune")
        return _Point(model, codes, evaluate(model, data.val, loss=self.loss))

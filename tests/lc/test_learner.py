"""The L step against the obvious slow version: the penalty as part of an autograd loss."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autocompress.data import Data
from autocompress.lc import LStep, Penalty, Trainer, evaluate
from autocompress.recipe import LC, SGD, Adam, MuSchedule


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(lr=0.05),
        SGD(lr=0.05, momentum=0.0, nesterov=False, weight_decay=1e-3),
        Adam(lr=1e-3, weight_decay=1e-3),
    ],
    ids=["nesterov", "plain", "adam"],
)
def test_l_step_equals_training_on_the_penalised_loss(
    digits: Data, digits_cnn: nn.Module, optimizer: SGD | Adam
) -> None:
    mu, batch = 0.3, 64
    recipe = LC(optimizer=optimizer, batch_size=batch)
    fast, slow = copy.deepcopy(digits_cnn), copy.deepcopy(digits_cnn)
    names = [n for n, _ in fast.named_parameters() if n.endswith("weight")]
    decoded = [0.5 * p.detach() for n, p in fast.named_parameters() if n in names]
    multipliers = [0.01 * torch.ones_like(d) for d in decoded]

    params = [p for n, p in fast.named_parameters() if n in names]
    penalty = Penalty(params, decoded, multipliers, mu)
    loss = Trainer(digits, recipe, seed=4).learn(fast, penalty, LStep(0, mu, optimizer.lr, 1))

    settings = optimizer.model_dump(exclude={"name"})
    cls = torch.optim.SGD if isinstance(optimizer, SGD) else torch.optim.Adam
    plain = cls(slow.parameters(), **settings)
    slow_params = [p for n, p in slow.named_parameters() if n in names]
    losses = []
    slow.train()
    for x, y in digits.train.batches(batch, generator=torch.Generator().manual_seed(4)):
        plain.zero_grad()
        task = F.cross_entropy(slow(x), y)
        gaps = [p - d for p, d in zip(slow_params, decoded, strict=True)]
        pull = sum(
            mu / 2 * g.square().sum() - (m * g).sum()
            for g, m in zip(gaps, multipliers, strict=True)
        )
        (task + pull).backward()
        plain.step()
        losses.append(float(task.detach()))
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-3)
    for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_evaluation_is_exact_and_restores_the_mode(digits: Data, digits_cnn: nn.Module) -> None:
    digits_cnn.train()
    ours = evaluate(digits_cnn, digits.val, batch_size=7)
    assert digits_cnn.training
    digits_cnn.eval()
    x, y = next(iter(digits.val.batches(len(digits.val))))
    with torch.no_grad():
        outputs = digits_cnn(x)
    assert ours.samples == len(y)
    assert ours.accuracy == pytest.approx(float((outputs.argmax(1) == y).float().mean()))
    assert ours.loss == pytest.approx(float(F.cross_entropy(outputs, y)), rel=1e-5)


def test_iterations_counts_partial_batches(digits: Data) -> None:
    trainer = Trainer(digits, LC(batch_size=1000, mu=MuSchedule(steps=1)))
    assert trainer.iterations(3) == 3 * -(-len(digits.train) // 1000)

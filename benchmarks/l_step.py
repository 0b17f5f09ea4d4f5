"""Cost of an L step against a plain training loop with the same fused SGD on the same tensors.

Both train LeNet-300-100 (batch 256) and LeNet-5 (batch 256) for the same number of iterations in
one process, interleaved; the ratio of the medians is printed and saved. Target: at most 1.05.

    python benchmarks/l_step.py [--repeats 41] [--iterations 100] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from autocompress import data as ac_data
from autocompress import models
from autocompress.data import Data
from autocompress.lc import LStep, Penalty, Trainer
from autocompress.recipe import LC, SGD, MuSchedule

from _results import save  # isort: skip  # the benchmarks' own helper, beside this file

BATCH = 256


def plain(model: nn.Module, data: Data, epochs: int, lr: float) -> float:
    """A training loop as one would write it without compression."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, nesterov=True, fused=True)
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(epochs):
        for inputs, labels in data.train.batches(BATCH, generator=generator):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        total += float(loss.detach())
    return total


def measure(name: str, iterations: int, repeats: int, device: str) -> dict[str, object]:
    """Time both loops in turn; seconds for one L step of ``iterations`` iterations."""
    generator = torch.Generator().manual_seed(0)
    n = iterations * BATCH
    x, y = torch.rand(n, 1, 28, 28, generator=generator), torch.arange(n) % 10
    data = ac_data.from_tensors(
        train=(x, y), val=(x[:100], y[:100]), test=(x[:100], y[:100]), device=device
    )
    recipe = LC(mu=MuSchedule(start=1e-3, factor=1.1), optimizer=SGD(lr=0.01), batch_size=BATCH)
    trainer = Trainer(data, recipe)
    model = models.build(name, data).to(device)
    params = [p for n, p in model.named_parameters() if n.endswith("weight")]
    decoded = [torch.zeros_like(p) for p in params]
    multipliers = [torch.full_like(p, 1e-4) for p in params]
    times: dict[str, list[float]] = {"plain": [], "l_step": []}
    for repeat in range(repeats + 1):
        for which in ("plain", "l_step") if repeat % 2 else ("l_step", "plain"):
            began = time.perf_counter()
            if which == "plain":
                plain(model, data, 1, 0.01)
            else:
                penalty = Penalty(params, decoded, multipliers, 1e-3)
                trainer.learn(model, penalty, LStep(0, 1e-3, 0.01, 1))
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times[which].append(time.perf_counter() - began)
    pairs = [b / a for a, b in zip(times["plain"], times["l_step"], strict=True)]
    row: dict[str, object] = {
        "model": name,
        "iterations": iterations,
        "plain_s": statistics.median(times["plain"]),
        "l_step_s": statistics.median(times["l_step"]),
        "ratio": statistics.median(pairs),
        "ratio_min": min(pairs),
        "ratio_max": max(pairs),
    }
    print(
        f"{name:10s}  plain {row['plain_s']:.3f} s  L step {row['l_step_s']:.3f} s  "
        f"ratio {row['ratio']:.3f}  ({row['ratio_min']:.3f} to {row['ratio_max']:.3f})"
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [
        measure("lenet300", args.iterations, args.repeats, args.device),
        measure("lenet5", max(args.iterations // 10, 1), args.repeats, args.device),
    ]
    save("l_step", rows, seed=0, device=args.device)


if __name__ == "__main__":
    main()

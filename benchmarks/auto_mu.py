"""The automatic mu schedule against poor starts and against the best of a grid.

Small L-C runs on digits (one epoch a step, so that a mistake shows) at 8, 20 and 40 steps, for
pruning, codebooks and low rank; validation accuracy in per cent, mean over the seeds.

    python benchmarks/auto_mu.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics

import torch
from torch import nn

import autocompress as ac
from autocompress.recipe import LC

from _results import save  # isort: skip  # the benchmarks' own helper, beside this file

STEPS = (8, 20, 40)
LR, BATCH = 0.05, 64


def plans(model: nn.Module) -> dict[str, ac.Plan]:
    layers = [n for n, _ in model.named_parameters() if n.endswith("weight")]
    return {
        "prune 5 %": ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density=0.05))]),
        "prune 2 %": ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density=0.02))]),
        "codebook 2": ac.Plan([ac.Task(n, [n], ac.Codebook(k=2)) for n in layers]),
        "rank 4": ac.Plan([ac.Task(n, [n], ac.LowRank(rank=4)) for n in layers[:-1]]),
    }


def schedules(steps: int, unit: float) -> dict[str, list[ac.MuSchedule]]:
    """What is compared; several schedules under one name are a grid, of which the best counts."""

    def fixed(start: float, end: float) -> ac.MuSchedule:
        factor = max(1.0, (end / start) ** (1 / (steps - 1)))
        return ac.MuSchedule(start=start * unit, factor=factor, steps=steps)

    grid = [fixed(a, b) for a in (0.1, 0.3, 1.0) for b in (1.0, 3.0, 10.0)]
    return {
        "auto": [ac.MuSchedule(steps=steps)],
        "LC's 9e-5 x 1.1": [ac.MuSchedule(start=9e-5, factor=1.1, steps=steps)],
        "start / 30": [fixed(0.2 / 30, 0.2 / 30 * steps)],
        "start x 30": [fixed(0.2 * 30, 0.2 * 30 * steps)],
        "best of 9": grid,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = ac.data.load("digits")
    model = ac.models.load("digits-cnn", data)
    iterations = -(-len(data.train) // BATCH)
    unit = (1 - 0.9) / (LR * iterations)
    rows: list[dict[str, object]] = []
    for steps in STEPS:
        for name, plan in plans(model).items():
            row: dict[str, object] = {"steps": steps, "plan": name}
            for label, candidates in schedules(steps, unit).items():
                row[label] = max(
                    mean_accuracy(model, plan, data, mu, args.seeds) for mu in candidates
                )
            rows.append(row)
            print(
                "  ".join(
                    f"{k} {v:.1f}" if isinstance(v, float) else f"{v}" for k, v in row.items()
                ),
                flush=True,
            )
    save("auto_mu", rows, seed=0)


def mean_accuracy(
    model: nn.Module, plan: ac.Plan, data: ac.data.Data, mu: ac.MuSchedule, seeds: int
) -> float:
    recipe = LC(mu=mu, epochs_per_step=1, optimizer=ac.SGD(lr=LR, momentum=0.9), batch_size=BATCH)
    runs = [ac.compress(model, plan, recipe, data, seed=seed) for seed in range(seeds)]
    best = (run.history[run.best_step].val_accuracy for run in runs)
    return 100 * statistics.mean(best)


if __name__ == "__main__":
    main()

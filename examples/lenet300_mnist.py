"""LeNet-300-100 on MNIST: two rows of the Learning-Compression toolkit's published table.

Setting: tanh network, Nesterov momentum 0.9, batch 256, 40 L-C steps of 20 epochs (40 in the
first), learning rate decayed by 0.98 a step, mu = 9e-5 · 1.1^step, augmented Lagrangian: the
toolkit's own schedule (UCMerced-ML/LC-model-compression, examples/lenet300). Published test
errors: reference 2.13 %, 5 % of the weights kept 2.18 %, one bit per weight 2.56 %. Here 6,000 of
the 60,000 training images are held out for choosing the step; test data is read once, at the end.

About 15 minutes a row on one CPU core. Stopped and started again, it goes on where it was.

    python examples/lenet300_mnist.py --data-root DATA [--rows prune codebook] [--seed 0]
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from pathlib import Path

import torch

import autocompress as ac

LAYERS = ("fc1.weight", "fc2.weight", "fc3.weight")
RESULTS = Path(__file__).parent / "results" / "lenet300_mnist.json"


def rows() -> dict[str, tuple[str, ac.Plan, float, float]]:
    """Return, by name: what is done, the plan, the learning rate and the published error in %."""
    prune = ac.Plan([ac.Task("all", LAYERS, ac.Prune(density=0.05))])
    codebook = ac.Plan([ac.Task(name, [name], ac.Codebook(k=2)) for name in LAYERS])
    return {
        "prune": ("prune to 5 %, jointly", prune, 0.1, 2.18),
        "codebook": ("quantize, codebook of 2 per layer", codebook, 0.09, 2.56),
    }


def test_error(result: ac.Compressed, data: ac.data.Data) -> float:
    """Test error in per cent."""
    return 100 * (1 - result.evaluate(data.test).accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", required=True, help="torchvision root that holds MNIST")
    parser.add_argument("--rows", nargs="+", choices=list(rows()), default=list(rows()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40, help="fewer for a quick try")
    parser.add_argument("--epochs", type=int, default=20, help="epochs per step; the first has 2x")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path(tempfile.gettempdir()) / "autocompress-lenet300"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = ac.data.load("mnist", root=args.data_root)
    model = ac.models.load("lenet300", data, seed=args.seed)
    reference = ac.compress(model, ac.Plan([]), ac.Direct(), data)
    print(f"reference: {reference.size.reference_bytes} bytes")
    args.checkpoints.mkdir(parents=True, exist_ok=True)

    done = []
    for name in args.rows:
        what, plan, lr, published = rows()[name]
        recipe = ac.LC(
            mu=ac.MuSchedule(start=9e-5, factor=1.1, steps=args.steps),
            epochs_per_step=args.epochs,
            first_step_epochs=2 * args.epochs,
            optimizer=ac.SGD(lr=lr, momentum=0.9, nesterov=True),
            lr_decay=0.98,
            batch_size=256,
        )
        result = ac.compress(
            model,
            plan,
            recipe,
            data,
            seed=args.seed,
            on_step=lambda r: print(r, flush=True),
            checkpoint=args.checkpoints / f"{name}-{args.steps}x{args.epochs}-{args.seed}",
        )
        done.append(
            {
                "row": name,
                "what": what,
                "schedule": f"{args.steps} steps x {args.epochs} epochs",
                "test_error": test_error(result, data),
                "published_error": published,
                "val_error": 100 * (1 - result.history[result.best_step].val_accuracy),
                "chosen_step": result.best_step,
                "bytes": result.size.bytes,
                "ratio": result.size.ratio,
                "lc_ratio": result.size.lc_ratio,
                "minutes": sum(r.seconds for r in result.history) / 60,
            }
        )
        _save(args, done, test_error(reference, data), reference.size.reference_bytes)
    print(table(json.loads(args.out.read_text())))


def _save(args: argparse.Namespace, done: list[dict], reference: float, size: int) -> None:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    key = f"seed {args.seed}"
    runs = json.loads(args.out.read_text()) if args.out.exists() else {}
    old = {row["row"]: row for row in runs.get(key, {}).get("rows", [])}
    merged = old | {row["row"]: row for row in done}
    runs[key] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "seed": args.seed,
        "torch": torch.__version__,
        "reference_test_error": reference,
        "reference_bytes": size,
        "rows": [merged[name] for name in rows() if name in merged],
    }
    args.out.write_text(json.dumps(runs, indent=2) + "\n")
    args.out.with_suffix(".md").write_text(table(runs))


def table(runs: dict) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| compression | seed | test error % | published % | packed bytes | ratio | date |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs.values():
        lines.append(
            f"| none (reference) | {run['seed']} | {run['reference_test_error']:.2f} | 2.13 "
            f"| {run['reference_bytes']:,} | 1.0 | {run['date']} |"
        )
        lines += [
            f"| {row['what']} | {run['seed']} | {row['test_error']:.2f} "
            f"| {row['published_error']:.2f} | {row['bytes']:,} | {row['ratio']:.1f} "
            f"| {run['date']} |"
            for row in run["rows"]
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

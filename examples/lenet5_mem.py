"""LeNet-5 on MNIST as small as it gets: Condensa's MEM scheme, and what lies beyond it.

Condensa (Joseph et al., arXiv:1911.02497) reports 239x for LeNet-5 (431,080 parameters) pruned to
0.7 % of its weights in half precision, within 0.15 % of the reference's accuracy. Its ratio counts
the bytes of the nonzero numbers only: no positions. Three rows, from one trained reference a seed:

- ``mem`` is that scheme, ``Compose(Prune(0.007), float16)``, and its ratio by that definition;
- ``beyond`` prunes, quantizes the survivors to a codebook and entropy-codes positions and indices:
  its ratio is of real bytes of the file on disk, positions, codebooks, biases and header included;
- ``within`` does the same with more survivors, for 239x in real bytes nearer to the reference.

All run the L-C algorithm; ``mem`` then fine-tunes the numbers that are left. References and rows
are trained on the same images, moved by up to a pixel, with the same weight decay: with less of
either the survivors fit the training images too closely. Step and epoch are chosen on 6,000
held-out training images; test data is read once, at the end. A row takes about a quarter of an hour
on one CPU core, its reference five minutes. Stopped and started again, it goes on where it was.

    python -m pip install '.[entropy]'
    python examples/lenet5_mem.py --data-root DATA [--rows mem beyond within] [--seed 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import tempfile
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import mean

import torch

import autocompress as ac
from autocompress.metrics import fingerprint

WEIGHTS = ("conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight")
BIASES = ("conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias")
_SIZES = ("size", "size_entropy_coded")
RESULTS = Path(__file__).parent / "results" / "lenet5_mem.json"


@dataclass(frozen=True)
class Row:
    """What is done to weights and biases, and for how many epochs the result is fine-tuned."""

    what: str
    weights: ac.Compression
    biases: ac.Compression
    finetune: int

    def plan(self) -> ac.Plan:
        """One threshold and one codebook over all layers; the biases together."""
        return ac.Plan(
            [ac.Task("weights", WEIGHTS, self.weights), ac.Task("biases", BIASES, self.biases)]
        )


HALF = ac.Cast("float16")
ROWS = {
    "mem": Row("prune to 0.7 %, float16", ac.Compose([ac.Prune(density=0.007), HALF]), HALF, 12),
    "beyond": Row(
        "prune to 1.05 %, codebook of 16, entropy coding",
        ac.Compose([ac.Prune(density=0.0105), ac.Codebook(k=16)]),
        ac.Codebook(k=16),
        0,
    ),
    "within": Row(
        "prune to 1.6 %, codebook of 16, entropy coding",
        ac.Compose([ac.Prune(density=0.016), ac.Codebook(k=16)]),
        ac.Codebook(k=16),
        0,
    ),
}


def run_path(args: argparse.Namespace, name: str) -> Path:
    """Where a row's run is kept: another schedule, or seed, is another run."""
    return args.checkpoints / f"{name}-{args.steps}x{args.epochs}-{args.seed}"


def compressed(
    args: argparse.Namespace, name: str, model: torch.nn.Module, data: ac.data.Data
) -> ac.Compressed:
    """Run a row's L-C loop and fine-tuning, or go on with them."""
    recipe = ac.LC(
        mu=ac.MuSchedule(steps=args.steps, factor=1.12),
        epochs_per_step=args.epochs,
        first_step_epochs=2 * args.epochs,
        optimizer=ac.SGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
        lr_decay=0.95,
        batch_size=512,
        amp=args.amp,
    )
    result = ac.compress(
        model,
        ROWS[name].plan(),
        recipe,
        data,
        seed=args.seed,
        on_step=lambda record: print(f"{name}  {record}", flush=True),
        checkpoint=run_path(args, name),
    )
    epochs = ROWS[name].finetune if args.finetune is None else args.finetune
    return ac.finetune(
        result,
        data,
        epochs=epochs,
        optimizer=ac.SGD(lr=0.05, momentum=0.9),
        batch_size=512,
        amp=args.amp,
        seed=args.seed,
        on_epoch=lambda epoch, found: print(f"{name}  fine-tuning {epoch}  {found}", flush=True),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", required=True, help="torchvision root that holds MNIST")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3, help="epochs per step; the first has 2x")
    parser.add_argument("--finetune", type=int, help="epochs of fine-tuning")
    parser.add_argument(
        "--amp", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 forward pass"
    )
    parser.add_argument(
        "--checkpoints", type=Path, default=Path(tempfile.gettempdir()) / "autocompress-lenet5"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    # the reference is trained on images moved like this too
    data = ac.data.load("mnist", root=args.data_root).augmented(ac.data.Shift(1))
    model = ac.models.load("lenet5", data, seed=args.seed)
    model = model.to(memory_format=torch.channels_last)  # twice as fast, on a CPU too
    reference = ac.compress(model, ac.Plan([]), ac.Direct(), data)
    args.checkpoints.mkdir(parents=True, exist_ok=True)
    for name in args.rows:
        trained = run_path(args, name).with_suffix(".safetensors")
        if not trained.exists():
            compressed(args, name, model, data).save(trained)
        result = ac.load(trained, model)
        path = trained.with_suffix(".entropy.safetensors")
        result.save(path, entropy=True)
        again = ac.load(path, model)
        run = {
            "row": name,
            "what": ROWS[name].what,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "seed": args.seed,
            "hardware": fingerprint(data.device),
            "schedule": f"{args.steps} steps x {args.epochs} epochs",
            "chosen_step": result.best_step,
            "reference_val_accuracy": reference.evaluate(data.val).accuracy,
            "val_accuracy": again.evaluate(data.val).accuracy,
            "reference_test_accuracy": reference.evaluate(data.test).accuracy,
            "test_accuracy": again.evaluate(data.test).accuracy,
            "file_bytes": path.stat().st_size,
            "size": dataclasses.asdict(result.size),
            "size_entropy_coded": dataclasses.asdict(result.size_report(entropy=True)),
        }
        save(args.out, run)
    print(table(json.loads(args.out.read_text())))


def save(path: Path, run: dict) -> None:
    """Add a run to the results, in place of an older one of the same row and seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = json.loads(path.read_text()) if path.exists() else []
    runs = [old for old in runs if (old["row"], old["seed"]) != (run["row"], run["seed"])] + [run]
    runs.sort(key=lambda r: (list(ROWS).index(r["row"]), r["seed"]))
    path.write_text(json.dumps(runs, indent=2) + "\n")
    path.with_suffix(".md").write_text(table(runs))


def table(runs: list[dict]) -> str:
    """Return the results as a Markdown table: accuracy, and the ratio by every definition.

    Of several seeds means of accuracies, and the largest file.
    """
    lines = [
        "| LeNet-5 on MNIST | seeds | test accuracy | reference's | points below it (worst seed) "
        "| nonzeros | weights / nonzeros | Condensa's ratio | LC's ratio | packed bytes | ratio "
        "| entropy-coded bytes | ratio |",
        "|---|" + "---|" * 12,
    ]
    for name in ROWS:
        some = [run for run in runs if run["row"] == name]
        if not some:
            continue
        size, coded = (max((r[key] for r in some), key=itemgetter("bytes")) for key in _SIZES)
        below = [run["reference_test_accuracy"] - run["test_accuracy"] for run in some]
        cells = [
            some[0]["what"],
            ", ".join(str(run["seed"]) for run in some),
            f"{100 * mean(run['test_accuracy'] for run in some):.2f} %",
            f"{100 * mean(run['reference_test_accuracy'] for run in some):.2f} %",
            f"{100 * mean(below):.2f} ({100 * max(below):.2f})",
            f"{size['nonzeros']:,}",
            f"{size['nonzero_ratio']:.1f}x",
            f"{size['condensa_ratio']:.1f}x",
            f"{size['lc_ratio']:.1f}x",
            f"{size['bytes']:,}",
            f"{size['ratio']:.1f}x",
            f"{coded['bytes']:,} ({coded['header_bytes']} of them header)",
            f"{coded['ratio']:.1f}x",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    dates = ", ".join(sorted({run["date"] for run in runs}))
    lines += [
        "",
        f"Measured {dates}. Accuracies are means over the seeds, sizes those of the largest file; "
        "the reference takes 1,724,320 bytes in float32.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

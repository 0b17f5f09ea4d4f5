"""Writes the golden files: one packed file of every encoding, to be read by all later versions.

``python -m tests.storage.make_golden`` adds the files of new cases and never touches one that is
there: a file that can no longer be read is a broken promise, not a file to write again. A new kind
of code takes one more line in :data:`CASES`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress import compression as c
from autocompress.compression.base import Code, Compression
from autocompress.plan import Plan, Task
from autocompress.storage import PackedModel, container, read, write

FOLDER = Path(__file__).parent / "golden"
MANIFEST = FOLDER / "manifest.json"
MATRIX, CONV, JOINT = ((12, 18),), ((6, 4, 3, 3),), ((8, 1, 3, 3), (8,), (12, 18), (12,))
BLOCKS = ((8, 8, 2, 2), (16, 24))


def one(
    scheme: Compression,
    shapes: tuple[tuple[int, ...], ...] = MATRIX,
    dtype: torch.dtype = torch.float32,
) -> PackedModel:
    """A model of one task on weights of some shapes, and a few entries that are not compressed."""
    generator = torch.Generator().manual_seed(7)
    weights = tuple(torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    code = scheme.project(tuple(w.to(dtype) for w in weights), mu=1.0)
    names = tuple(f"layer{i}.weight" for i in range(len(shapes)))
    rest = {"norm.running_mean": torch.arange(3.0), "norm.num_batches_tracked": torch.tensor(5)}
    plan = Plan([Task("task", names, scheme)])
    return PackedModel(plan, {"task": code}, rest, {"model": "golden", "numbers": [1, 2.5, None]})


def every_dtype() -> PackedModel:
    """Uncompressed entries of every dtype that a file can hold."""
    floats = [0.0, -0.0, 1e-45, -1.5, 3.0e38, float("inf"), float("-inf")]
    rest: dict[str, Tensor] = {
        str(dtype).removeprefix("torch."): torch.tensor(floats).to(dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    }
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        rest[str(dtype).removeprefix("torch.")] = torch.tensor([0.0, -0.0, -1.5, 448.0]).to(dtype)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool):
        rest[str(dtype).removeprefix("torch.")] = torch.tensor([0, 1, 127, 3, 1]).to(dtype)
    rest |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    return PackedModel(Plan([]), {}, rest)


PRUNE = c.Prune(0.1)
CASES: dict[str, Callable[[], PackedModel]] = {
    "dtypes": every_dtype,
    "dense": lambda: one(c.Dense(), JOINT),
    "dense-float64": lambda: one(c.Dense(), dtype=torch.float64),
    "dense-float16": lambda: one(c.Dense(), dtype=torch.float16),
    "cast-float16": lambda: one(c.Cast("float16")),
    "cast-bfloat16": lambda: one(c.Cast("bfloat16"), dtype=torch.float64),
    "prune-gaps": lambda: one(c.Prune(0.02), JOINT),
    "prune-bitmap": lambda: one(c.Prune(0.5), JOINT),
    "codebook-1": lambda: one(c.Codebook(1)),
    "codebook-2": lambda: one(c.Codebook(2), JOINT),
    "codebook-5": lambda: one(c.Codebook(5), dtype=torch.float64),
    "codebook-17": lambda: one(c.Codebook(17), JOINT),
    "codebook-200": lambda: one(c.Codebook(200)),
    "lowrank-matrix": lambda: one(c.LowRank(3)),
    "lowrank-spatial": lambda: one(c.LowRank(2, conv="spatial"), CONV),
    "structure": lambda: one(c.StructurePrune(0.5), JOINT),
    "additive": lambda: one(c.Additive([c.Codebook(2), c.Prune(0.05)])),
    "additive-three": lambda: one(c.Additive([c.LowRank(1), c.Codebook(3), c.Prune(0.05)])),
    "prune-codebook-cast": lambda: one(c.Compose([PRUNE, c.Codebook(4), c.Cast("float16")]), JOINT),
    "lowrank-codebook": lambda: one(c.Compose([c.LowRank(2), c.Codebook(4)])),
    "lowrank-prune-cast": lambda: one(c.Compose([c.LowRank(2), c.Prune(0.5), c.Cast("bfloat16")])),
    "structure-prune-cast": lambda: one(
        c.Compose([c.StructurePrune(0.5), c.Prune(0.3), c.Cast("float16")]), JOINT
    ),
    "cast-float8-e4m3": lambda: one(c.Cast("float8_e4m3fn")),
    "cast-float8-e5m2": lambda: one(c.Cast("float8_e5m2"), JOINT),
    "n-m-2-4": lambda: one(c.NMPrune(2, 4), BLOCKS),
    "n-m-5-8-output-cast": lambda: one(
        c.Compose([c.NMPrune(5, 8, axis="output"), c.Cast("float16")]), BLOCKS
    ),
    "n-m-20-40": lambda: one(c.NMPrune(20, 40), ((3, 80),)),
    "block": lambda: one(c.BlockPrune(0.3), BLOCKS),
    "block-sparse-codebook": lambda: one(
        c.Compose([c.BlockPrune(0.1, linear=(2, 3)), c.Codebook(3)]), ((31, 29),)
    ),
    "structure-inputs": lambda: one(c.StructurePrune(0.5, groups="inputs"), BLOCKS),
    "structure-no-biases": lambda: one(c.StructurePrune(0.5, biases=False), JOINT),
    "structure-joined": lambda: one(
        c.StructurePrune(0.5, joined=(4,), ties=((0, (4, 1, 9)), (2, (4, 9, 21)))),
        (*JOINT, (21,)),
    ),
    "codebook-zero": lambda: one(c.Codebook(5, zero=True), JOINT),
    "codebook-groups": lambda: one(c.Codebook(3, group=6)),
    "levels-binary": lambda: one(c.Binary(), JOINT),
    "levels-binary-scale": lambda: one(c.BinaryScale(), dtype=torch.float64),
    "levels-ternary": lambda: one(c.Ternary()),
    "levels-ternary-scale-groups": lambda: one(c.TernaryScale(group=9)),
    "levels-powers-of-two": lambda: one(c.PowersOfTwo(3, scale=True), JOINT),
    "uniform-1": lambda: one(c.Uniform(1)),
    "uniform-4": lambda: one(c.Uniform(4), JOINT),
    "uniform-8-asymmetric": lambda: one(c.Uniform(8, symmetric=False), JOINT),
    "uniform-3-channel": lambda: one(c.Uniform(3, per="channel"), CONV),
    "uniform-6-group-asymmetric": lambda: one(
        c.Uniform(6, symmetric=False, per="group", group_size=8), dtype=torch.float64
    ),
    "uniform-16": lambda: one(c.Uniform(16)),
    "prune-uniform-cast": lambda: one(c.Compose([PRUNE, c.Uniform(4), c.Cast("float16")]), JOINT),
    "digits-of-base-2": lambda: one(c.BinaryScale(), JOINT),
    "digits-of-base-3": lambda: one(c.TernaryScale(group="row"), JOINT),
    "digits-of-base-5": lambda: one(c.PowersOfTwo(1), JOINT),
    "digits-of-base-9": lambda: one(c.PowersOfTwo(3, scale=True)),
    "rank-selection": lambda: one(c.RankSelection(0.02), ((12, 18), (14, 9))),
    "prune-additive": lambda: one(
        c.Compose([c.Prune(0.5), c.Additive([c.Codebook(2), c.Prune(0.1)])])
    ),
}
"""What is in each pair of files, plain and entropy-coded."""


def path_of(name: str, *, entropy: bool) -> Path:
    """Where a case's file is."""
    return FOLDER / f"{name}.{'coded' if entropy else 'plain'}.safetensors"


def facts(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    model = read(path)
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "version": container.CODED if container.load(path).coded else container.VERSION,
        "kinds": sorted({kind for code in model.codes.values() for kind in kinds(code)}),
        "tensors": {name: fingerprint(t) for name, t in model.state_dict().items()},
    }


def kinds(code: Code) -> Iterator[str]:
    """The kinds of a code and all in it."""
    yield code.kind
    for child in code.children().values():
        yield from kinds(child)


def fingerprint(tensor: Tensor) -> list[Any]:
    """A tensor's dtype, shape and the SHA-256 of its bytes."""
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(raw).hexdigest()]


def main() -> None:
    """Write the files that are not there yet, and add them to the manifest."""
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.is_file() else {}
    for name, make in CASES.items():
        for entropy in (False, True):
            path = path_of(name, entropy=entropy)
            if path.exists() or path.name in manifest:
                continue
            model = make()
            write(path, model, entropy=entropy)
            found = facts(path)
            decoded = {name: fingerprint(t) for name, t in model.state_dict().items()}
            assert decoded == found["tensors"], path
            manifest[path.name] = found
    MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

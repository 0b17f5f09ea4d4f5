"""The public names, pinned."""

from __future__ import annotations

import subprocess
import sys

import autocompress as ac

PUBLIC = {
    "Adam", "Additive", "Binary", "BinaryScale", "BlockPrune", "Candidate", "Cast", "Code",
    "Codebook", "Compose", "Compressed", "Compression", "Dense", "Direct", "Front", "GlobalRank",
    "L0Penalty", "L1Ball", "L1Penalty", "LC", "LowRank", "MuSchedule", "NMPrune", "Plan",
    "PowersOfTwo", "Prune", "RankSelection", "SGD", "StructurePrune", "Sweep", "Task", "Ternary",
    "TernaryScale", "Uniform", "__version__", "calibrate", "compress", "data", "errors",
    "finetune", "lc", "load", "metrics", "models", "plots", "register", "regularizers", "replay",
    "resume", "scheme", "search",
}  # fmt: skip


def test_public_names_are_pinned_and_all_exist() -> None:
    assert set(ac.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(ac, name) is not None
    assert set(dir(ac)) >= PUBLIC
    assert callable(ac.search)
    assert callable(ac.compress)


def test_importing_the_package_is_light() -> None:
    heavy = "[m for m in ('torch', 'optuna', 'ray') if m in sys.modules]"
    code = f"import sys, autocompress; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

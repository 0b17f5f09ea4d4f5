"""autocompress: find the accuracy-compression frontier of a neural network.

    >>> import autocompress as ac
    >>> data = ac.data.load("digits")
    >>> model = ac.models.load("digits-cnn", data)
    >>> plan = ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density=0.05))])
    >>> result = ac.compress(model, plan, ac.LC(), data)      # one plan
    >>> study = ac.search(ac.Sweep(model=model, data=data))   # a whole frontier

Names are imported when they are first used, so ``import autocompress`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autocompress import data, errors, lc, metrics, models, regularizers
    from autocompress.analysis.front import Front
    from autocompress.api import compress
    from autocompress.calibration.calibrate import calibrate
    from autocompress.compressed import Compressed, load
    from autocompress.compression import (
        Additive,
        Binary,
        BinaryScale,
        BlockPrune,
        Cast,
        Code,
        Codebook,
        Compose,
        Compression,
        Dense,
        GlobalRank,
        L0Penalty,
        L1Ball,
        L1Penalty,
        LowRank,
        NMPrune,
        PowersOfTwo,
        Prune,
        RankSelection,
        StructurePrune,
        Ternary,
        TernaryScale,
        Uniform,
    )
    from autocompress.compression.extension.extensions import register
    from autocompress.compression.extension.function import scheme
    from autocompress.config import Sweep
    from autocompress.plan import Plan, Task
    from autocompress.recipe import LC, SGD, Adam, Candidate, Direct, MuSchedule
    from autocompress.recover import finetune
    from autocompress.replaying import replay
    from autocompress.report import plots
    from autocompress.sweep import resume, search

__version__ = "0.1.0"

# name -> module, or module:attribute
_EXPORTS = {
    "LC": "autocompress.recipe:LC",
    "SGD": "autocompress.recipe:SGD",
    "Adam": "autocompress.recipe:Adam",
    "Additive": "autocompress.compression:Additive",
    "Binary": "autocompress.compression:Binary",
    "BinaryScale": "autocompress.compression:BinaryScale",
    "BlockPrune": "autocompress.compression:BlockPrune",
    "Candidate": "autocompress.recipe:Candidate",
    "Cast": "autocompress.compression:Cast",
    "Code": "autocompress.compression:Code",
    "Codebook": "autocompress.compression:Codebook",
    "Compose": "autocompress.compression:Compose",
    "Compressed": "autocompress.compressed:Compressed",
    "Compression": "autocompress.compression:Compression",
    "Dense": "autocompress.compression:Dense",
    "Direct": "autocompress.recipe:Direct",
    "Front": "autocompress.analysis.front:Front",
    "GlobalRank": "autocompress.compression:GlobalRank",
    "L0Penalty": "autocompress.compression:L0Penalty",
    "L1Ball": "autocompress.compression:L1Ball",
    "L1Penalty": "autocompress.compression:L1Penalty",
    "LowRank": "autocompress.compression:LowRank",
    "MuSchedule": "autocompress.recipe:MuSchedule",
    "NMPrune": "autocompress.compression:NMPrune",
    "Plan": "autocompress.plan:Plan",
    "PowersOfTwo": "autocompress.compression:PowersOfTwo",
    "Prune": "autocompress.compression:Prune",
    "RankSelection": "autocompress.compression:RankSelection",
    "StructurePrune": "autocompress.compression:StructurePrune",
    "Sweep": "autocompress.config:Sweep",
    "Task": "autocompress.plan:Task",
    "Ternary": "autocompress.compression:Ternary",
    "TernaryScale": "autocompress.compression:TernaryScale",
    "Uniform": "autocompress.compression:Uniform",
    "calibrate": "autocompress.calibration.calibrate:calibrate",
    "compress": "autocompress.api:compress",
    "data": "autocompress.data",
    "errors": "autocompress.errors",
    "finetune": "autocompress.recover:finetune",
    "lc": "autocompress.lc",
    "load": "autocompress.compressed:load",
    "metrics": "autocompress.metrics",
    "models": "autocompress.models",
    "plots": "autocompress.report.plots",
    "regularizers": "autocompress.regularizers",
    "register": "autocompress.compression.extension.extensions:register",
    "replay": "autocompress.replaying:replay",
    "resume": "autocompress.sweep:resume",
    "scheme": "autocompress.compression.extension.function:scheme",
    "search": "autocompress.sweep:search",
}

__all__ = [
    "LC",
    "SGD",
    "Adam",
    "Additive",
    "Binary",
    "BinaryScale",
    "BlockPrune",
    "Candidate",
    "Cast",
    "Code",
    "Codebook",
    "Compose",
    "Compressed",
    "Compression",
    "Dense",
    "Direct",
    "Front",
    "GlobalRank",
    "L0Penalty",
    "L1Ball",
    "L1Penalty",
    "LowRank",
    "MuSchedule",
    "NMPrune",
    "Plan",
    "PowersOfTwo",
    "Prune",
    "RankSelection",
    "StructurePrune",
    "Sweep",
    "Task",
    "Ternary",
    "TernaryScale",
    "Uniform",
    "__version__",
    "calibrate",
    "compress",
    "data",
    "errors",
    "finetune",
    "lc",
    "load",
    "metrics",
    "models",
    "plots",
    "register",
    "regularizers",
    "replay",
    "resume",
    "scheme",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'autocompress' has no attribute {name!r}")
    module, _, attribute = _EXPORTS[name].partition(":")
    value = importlib.import_module(module)
    result = getattr(value, attribute) if attribute else value
    globals()[name] = result
    return result


def __dir__() -> list[str]:
    return sorted(__all__)

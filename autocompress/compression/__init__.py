"""C steps: a scheme projects weights onto what it can express and returns a code.

One family a file. Nothing here knows of training, models or search. To add a scheme, subclass
:class:`Compression`; reuse a :class:`Code` or subclass that too.
"""

from autocompress.compression.base import Code, Compression
from autocompress.compression.binary import Binary, BinaryScale
from autocompress.compression.block import BlockPrune
from autocompress.compression.codebook import Codebook
from autocompress.compression.combine import Additive, Compose
from autocompress.compression.dense import Cast, Dense
from autocompress.compression.global_rank import GlobalRank
from autocompress.compression.l1ball import L1Ball
from autocompress.compression.lowrank import LowRank
from autocompress.compression.nm import NMPrune
from autocompress.compression.powers_of_two import PowersOfTwo
from autocompress.compression.prune import Prune
from autocompress.compression.rank_selection import RankSelection
from autocompress.compression.registry import SCHEMES, from_dict, to_dict
from autocompress.compression.sparse_penalty import L0Penalty, L1Penalty
from autocompress.compression.structure import StructurePrune
from autocompress.compression.ternary import Ternary, TernaryScale
from autocompress.compression.uniform import Uniform

__all__ = [
    "SCHEMES",
    "Additive",
    "Binary",
    "BinaryScale",
    "BlockPrune",
    "Cast",
    "Code",
    "Codebook",
    "Compose",
    "Compression",
    "Dense",
    "GlobalRank",
    "L0Penalty",
    "L1Ball",
    "L1Penalty",
    "LowRank",
    "NMPrune",
    "PowersOfTwo",
    "Prune",
    "RankSelection",
    "StructurePrune",
    "Ternary",
    "TernaryScale",
    "Uniform",
    "from_dict",
    "to_dict",
]

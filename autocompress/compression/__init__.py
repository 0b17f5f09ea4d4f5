"""C steps: a scheme projects weights onto what it can express and returns a code.

One family a file. Nothing here knows of training, models or search. To add a scheme, subclass
:class:`Compression`; reuse a :class:`Code` or subclass that too.
"""

from autocompress.compression.base import Code, Compression
from autocompress.compression.codebooks.binary import Binary, BinaryScale
from autocompress.compression.codebooks.codebook import Codebook
from autocompress.compression.codebooks.powers_of_two import PowersOfTwo
from autocompress.compression.codebooks.ternary import Ternary, TernaryScale
from autocompress.compression.combinations.additive import Additive
from autocompress.compression.combinations.compose import Compose
from autocompress.compression.dense import Cast, Dense
from autocompress.compression.factorized.global_rank import GlobalRank
from autocompress.compression.factorized.lowrank import LowRank
from autocompress.compression.factorized.rank_selection import RankSelection
from autocompress.compression.grids.uniform import Uniform
from autocompress.compression.pruning.l1ball import L1Ball
from autocompress.compression.pruning.nm import NMPrune
from autocompress.compression.pruning.prune import Prune
from autocompress.compression.pruning.sparse_penalty import L0Penalty, L1Penalty
from autocompress.compression.registry import SCHEMES, from_dict, to_dict
from autocompress.compression.structured.block import BlockPrune
from autocompress.compression.structured.structure import StructurePrune

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

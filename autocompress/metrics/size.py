"""How small a compressed model is, by four definitions that must not be confused.

"Compression ratio" means something else in every line of work. Below, *numbers* are the elements
of all floating-point entries of the model's ``state_dict``; *weights* are those of entries with
two or more dimensions; *biases* are all the other numbers (biases, batch norm).

========= =========================================== ======================================
name      bytes                                       ratio
========= =========================================== ======================================
packed    the file on disk, header included           reference bytes / packed bytes
nonzeros  --                                          weights / nonzero weights
Condensa  nonzero numbers at their stored precision;  4 · numbers / Condensa bytes
          no positions
LC        delta-coded positions, indices, codebooks,  4 · numbers / LC bytes
          values and biases
========= =========================================== ======================================

Only the first is what a user has to store or send; the others are for comparison with papers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import Code
from autocompress.compression.codebooks.codebook import CodebookCode, GroupedCodebookCode
from autocompress.compression.codebooks.levels import LevelsCode
from autocompress.compression.dense import DenseCode
from autocompress.compression.grids.code import UniformCode
from autocompress.compression.pruning.prune import SparseCode
from autocompress.compression.structured.block import BlockCode
from autocompress.storage.packed import PackedModel, pack_parts


@dataclass(frozen=True)
class SizeReport:
    """Sizes of a compressed model; see the module's table for the four definitions.

    Attributes:
        bytes: Bytes of the packed file: *the* size.
        header_bytes: How many of them are not buffers but say what the buffers mean.
        ratio: ``reference_bytes / bytes``.
        nonzero_ratio: ``weights / nonzeros``, as in the ADMM papers (Zhang et al., ECCV 2018);
            biases, precision and positions do not count.
        condensa_bytes: Bytes of the nonzero numbers that are stored, biases included, each in the
            precision it is stored in; their positions do not count (Joseph et al. 2020, whose
            239x for LeNet-5 this reproduces once its biases are cast to float16 too).
        condensa_ratio: The model's numbers in 32 bits, over ``condensa_bytes``.
        lc_bytes: Bytes of the LC toolkit's accounting: 32-bit values (16 where cast), positions as
            fixed-width deltas, ceil(log2 k) bits a codebook index, biases dense in 32 bits.
        lc_ratio: The model's numbers in 32 bits, over ``lc_bytes``.
        reference_bytes: Bytes of the uncompressed model, as given.
        nonzeros: Weights that are not zero once decoded.
        weights: All weights.
    """

    bytes: int
    header_bytes: int
    ratio: float
    nonzero_ratio: float
    condensa_bytes: int
    condensa_ratio: float
    lc_bytes: int
    lc_ratio: float
    reference_bytes: int
    nonzeros: int
    weights: int


def size_report(packed: PackedModel, reference_bytes: int, *, entropy: bool = False) -> SizeReport:
    """Measure a packed model by all four definitions.

    Args:
        packed: The model.
        reference_bytes: Bytes of the uncompressed model's parameters and buffers.
        entropy: Whether the packed file is to be entropy-coded; the other sizes do not change.

    Raises:
        ConfigError: the model cannot be packed; see :func:`autocompress.storage.pack`.
        MissingExtra: ``entropy`` without the library for it.
    """
    whole, data = pack_parts(packed, entropy=entropy)
    entries = [t for t in packed.state_dict().values() if t.is_floating_point()]
    matrices = [t for t in entries if t.dim() >= 2]
    weights, nonzeros = sum(t.numel() for t in matrices), _nonzeros(matrices)
    numbers = sum(t.numel() for t in entries)
    rest = [t for t in packed.rest.values() if t.is_floating_point()]
    codes = packed.codes.values()
    condensa = sum(map(condensa_bytes, codes)) + sum(_nonzeros([t]) * _width(t) for t in rest)
    lc = -(-(sum(map(lc_bits, codes)) + 32 * sum(t.numel() for t in rest)) // 8)
    return SizeReport(
        bytes=len(whole),
        header_bytes=len(whole) - data,
        ratio=reference_bytes / len(whole),
        # a model of zeros has no finite ratio; count it as one nonzero
        nonzero_ratio=weights / max(nonzeros, 1),
        condensa_bytes=condensa,
        condensa_ratio=4 * numbers / max(condensa, 1),
        lc_bytes=lc,
        lc_ratio=4 * numbers / max(lc, 1),
        reference_bytes=reference_bytes,
        nonzeros=nonzeros,
        weights=weights,
    )


def condensa_bytes(code: Code) -> int:
    """Return the bytes of a code's nonzero numbers, positions and indices excluded.

    These are the survivors of pruning, the factors of low rank and the terms of a sum, each in the
    precision it is stored in. Condensa has no codebooks; here every weight that takes a nonzero
    entry or level counts, in the entries' precision.
    """
    if isinstance(code, DenseCode):
        return _nonzeros([code.flat]) * _width(code.flat)
    children = code.children().values()
    if isinstance(code, (CodebookCode, GroupedCodebookCode, LevelsCode)) or not children:
        decoded = code.decode()
        leaves = [leaf.flat for leaf in _leaves(code)] or list(decoded)
        return _nonzeros(decoded) * max(map(_width, leaves))
    if isinstance(code, UniformCode):  # a level is a number of its own, of that many bits
        levels = -(-_nonzeros(code.decode()) * code.width // 8)
        return levels + condensa_bytes(code.inner)
    return sum(map(condensa_bytes, children))


def lc_bits(code: Code) -> int:
    """Return the bits of a code as the LC toolkit counts them.

    Values take 32 bits, or 16 where they are stored in 16. Everything else is as in
    :meth:`~autocompress.compression.base.Code.own_bits`, but positions are :func:`delta_bits`
    and levels take ceil(log2) bits.
    """
    if isinstance(code, DenseCode):
        return code.flat.numel() * min(8 * _width(code.flat), 32)
    if isinstance(code, LevelsCode):
        return code.digits.numel() * bitpack.width(len(code.levels)) + lc_bits(code.inner)
    own = delta_bits(code.index) if isinstance(code, (SparseCode, BlockCode)) else code.own_bits()
    return own + sum(map(lc_bits, code.children().values()))


def delta_bits(index: Tensor) -> int:
    """Return the bits of sorted positions as gaps of fixed width, the best width taken.

    A gap of g zeros takes ``g // (2^b − 1) + 1`` words of b bits: the word of all ones skips
    ``2^b − 1`` zeros and goes on, any other ends the gap. This is the code of the LC toolkit
    (``diff_based_coding``); Han et al. (2016) store a zero value for each skip besides.

    Args:
        index: Sorted, distinct positions, integer vector.
    """
    if index.numel() == 0:
        return 0
    gaps = torch.diff(index, prepend=index.new_full((1,), -1)) - 1
    widths = range(1, int(gaps.max()).bit_length() + 2)
    return min(b * (int((gaps // (2**b - 1)).sum()) + gaps.numel()) for b in widths)


def _leaves(code: Code) -> list[DenseCode]:
    if isinstance(code, DenseCode):
        return [code]
    return [leaf for child in code.children().values() for leaf in _leaves(child)]


def _nonzeros(tensors: Iterable[Tensor]) -> int:
    # torch counts no numbers of 8 bits
    wide = (t.half() if t.is_floating_point() and t.element_size() == 1 else t for t in tensors)
    return sum(int(torch.count_nonzero(t)) for t in wide)


def _width(tensor: Tensor) -> int:
    return tensor.element_size()

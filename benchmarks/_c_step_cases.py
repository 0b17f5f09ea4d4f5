"""Contests between our C steps and the obvious ways of doing the same, on three sets of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from _rivals import codebooks, combined, grids, low_rank, pruning
from _rivals.arrays import Arrays, Rival, matrices

import autocompress as ac
from autocompress.compression.weighting import Covariance, Diagonal, Weighting
from autocompress.layers import find_layers

SETS = ("lenet300", "resnet20", "ten")
MU = 1.0
LARGE = 1_000_000  # weights from which what takes rivals minutes is tried less often


def weights(name: str, seed: int) -> Arrays:
    """Return a set's weights: Laplace distributed, as trained ones about are, float32."""
    generator = np.random.default_rng(seed)
    if name == "ten":
        shapes: list[tuple[int, ...]] = [(4096, 2442)]
    elif name == "lenet300":
        shapes = [(300, 784), (100, 300), (10, 100)]
    else:
        model = ac.models.build("resnet20", input_shape=(3, 32, 32), classes=10)
        shapes = [layer.shape for layer in find_layers(model) if layer.kind == "conv"]
    scales = [(2 / np.prod(shape[1:])) ** 0.5 for shape in shapes]
    return [
        generator.laplace(0, scale / 2**0.5, shape).astype(np.float32)
        for scale, shape in zip(scales, shapes, strict=True)
    ]


@dataclass(frozen=True)
class Case:
    """A scheme and those it is compared with.

    Attributes:
        scheme: Ours.
        rivals: The others, by name.
        exact: Whether both minimise the distance to the weights under one constraint.
        norm: What distance is measured in; None is the identity.
    """

    scheme: ac.Compression
    rivals: dict[str, Rival] = field(default_factory=dict)
    exact: bool = True
    norm: Weighting | None = None


def cases(arrays: Arrays) -> dict[str, Case]:
    """Return the contests for a set of weights, by name."""
    families = (_pruning, _structured, _codebooks, _grids, _low_rank, _combined)
    return {name: case for family in families for name, case in family(arrays)}


Cases = Iterator[tuple[str, Case]]


def _numpy(scheme: ac.Compression, rival: Rival, *, exact: bool = True) -> Case:
    return Case(scheme, {"NumPy": rival}, exact)


def _size(arrays: Arrays) -> int:
    return sum(w.size for w in arrays)


def _pruning(arrays: Arrays) -> Cases:
    total = float(sum(np.abs(w).sum(dtype=np.float64) for w in arrays))
    yield "prune 5 %", _numpy(ac.Prune(density=0.05), pruning.top(0.05))
    yield "prune 50 %", _numpy(ac.Prune(density=0.5), pruning.top(0.5))
    h = importance(arrays)
    norm = Diagonal(tuple(map(torch.from_numpy, h)))
    weighted = {"NumPy": pruning.weighted_top(0.05, h)}
    yield "prune 5 %, Fisher", Case(ac.Prune(density=0.05), weighted, norm=norm)
    ball = ac.L1Ball(radius=0.2 * total / _size(arrays))
    yield "l1 ball", _numpy(ball, pruning.l1_ball(0.2 * total))
    yield "l0 penalty", _numpy(ac.L0Penalty(alpha=0.005), pruning.hard(0.1))
    yield "l1 penalty", _numpy(ac.L1Penalty(alpha=0.05), pruning.soft(0.05))
    for n, m in ((2, 4), (4, 8)):
        if all(w.shape[1] % m == 0 for w in arrays):
            yield f"{n}:{m}", _numpy(ac.NMPrune(n, m), pruning.n_m(n, m))


def _structured(arrays: Arrays) -> Cases:
    filters = ac.StructurePrune(density=0.5, biases=False)
    yield "filters 50 %", _numpy(filters, pruning.filters(0.5))
    inputs = ac.StructurePrune(density=0.5, groups="inputs")
    yield "input channels 50 %", _numpy(inputs, pruning.inputs(0.5))
    blocks = ac.BlockPrune(density=0.3, linear=(4, 4), conv=(4, 1))
    yield "blocks 30 %", _numpy(blocks, pruning.blocks(0.3, (4, 4), (4, 1)))


def _codebooks(arrays: Arrays) -> Cases:
    small = _size(arrays) < LARGE
    for k in (2, 4, 16, 64, 256) if small else (2, 16, 256):
        rivals = {"kmeans1d": codebooks.kmeans1d(k)} if small or k <= 16 else {}
        if k <= 16:
            rivals["scikit-learn"] = codebooks.kmeans(k, 10 if small else 1)
        yield f"codebook {k}", Case(ac.Codebook(k=k), rivals)
    zero = ac.Codebook(k=16, zero=True)
    yield "codebook 16 with zero", _numpy(zero, codebooks.kmeans_with_zero(16))
    rows = {
        "kmeans1d": codebooks.kmeans_rows(4),
        "scikit-learn": codebooks.kmeans_each_row(4, 10 if small else 1),
    }
    yield "codebook 4 a channel", Case(ac.Codebook(k=4, group="row"), rows)
    yield "{-1, 1}", _numpy(ac.Binary(), codebooks.signs())
    yield "{-1, 0, 1}", _numpy(ac.Ternary(), codebooks.ternary())
    yield "{-c, c}", _numpy(ac.BinaryScale(), codebooks.sign_scale())
    yield "{-c, 0, c}", _numpy(ac.TernaryScale(), codebooks.ternary_scale())
    yield "powers of two", _numpy(ac.PowersOfTwo(c=5), codebooks.powers_of_two(5))


def _grids(arrays: Arrays) -> Cases:
    del arrays
    plain = ac.Uniform(bits=8, scale="minmax")
    yield "uniform 8 bits, min-max", _numpy(plain, grids.round_minmax(8))
    shifted = ac.Uniform(bits=8, symmetric=False, scale="minmax")
    yield "uniform 8 bits, asymmetric", _numpy(shifted, grids.round_asymmetric(8))
    groups = ac.Uniform(bits=4, per="group", group_size=64, scale="minmax")
    yield "uniform 4 bits, groups of 64", _numpy(groups, grids.round_groups(4, 64))
    least = Case(ac.Uniform(bits=4, scale="mse"), {"SciPy": grids.round_mse(4)})
    yield "uniform 4 bits, least error", least
    channels = ac.Uniform(bits=4, per="channel", scale="mse")
    yield "uniform 4 bits a channel, least error", _numpy(channels, grids.round_channels_mse(4))
    share = ac.Uniform(bits=8, scale="percentile")
    yield "uniform 8 bits, percentile", _numpy(share, grids.round_percentile(8, 99.9))
    entropy = ac.Uniform(bits=8, scale="entropy")
    yield "uniform 8 bits, entropy", _numpy(entropy, grids.round_entropy(8), exact=False)
    for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
        yield (
            name,
            Case(ac.Cast(name), {"NumPy" if name == "float16" else "ml_dtypes": grids.cast(name)}),
        )


def _low_rank(arrays: Arrays) -> Cases:
    rivals = {"NumPy": low_rank.svd(10, "NumPy")}
    if _size(arrays) < LARGE:
        rivals["SciPy"] = low_rank.svd(10, "SciPy")
    yield "low rank 10", Case(ac.LowRank(rank=10), rivals)
    yield "low rank, 50 % energy", _numpy(ac.LowRank(energy=0.5), low_rank.keep_energy(0.5))
    if all(w.ndim == 4 for w in arrays):
        yield (
            "low rank 10, spatial",
            _numpy(ac.LowRank(rank=10, conv="spatial"), low_rank.spatial(10)),
        )
    c = covariances(arrays)
    norm = Covariance(tuple(map(torch.from_numpy, c)))
    aware = {"NumPy": low_rank.whitened(10, c)}
    yield "low rank 10, activation-aware", Case(ac.LowRank(rank=10), aware, norm=norm)
    select = low_rank.select_rank(1e-4, MU)
    yield "rank selection", _numpy(ac.RankSelection(alpha=1e-4), select, exact=False)
    budget = {"NumPy, SciPy": low_rank.shared_budget(0.3)}
    yield "30 % of parameters for all ranks", Case(ac.GlobalRank(budget=0.3), budget)


def _combined(arrays: Arrays) -> Cases:
    chained = {"scikit-learn": combined.chained(0.05, 8)}
    yield (
        "prune, then codebook",
        Case(ac.Compose([ac.Prune(density=0.05), ac.Codebook(k=8)]), chained),
    )
    factors = ac.Compose([ac.LowRank(rank=10), ac.Uniform(bits=8, scale="minmax")])
    yield "low rank 10, then int8", _numpy(factors, combined.int8_factors(10), exact=False)
    if _size(arrays) < LARGE:  # the rivals take an hour for more
        two = ac.Additive([ac.Codebook(k=2), ac.Prune(density=0.01)])
        rivals = {"scikit-learn": combined.corrected(2, 0.01, 30)}
        yield "codebook 2 + 1 % correction", Case(two, rivals, exact=False)
        low = ac.Additive([ac.LowRank(rank=10), ac.Prune(density=0.01)])
        yield (
            "low rank 10 + 1 % correction",
            _numpy(low, combined.low_rank_corrected(10, 0.01, 10), exact=False),
        )


def importance(arrays: Arrays) -> Arrays:
    """Return squared gradients as they are: far from equal, most of them small."""
    generator = np.random.default_rng(1)
    return [np.square(generator.laplace(0, 1, w.shape)).astype(np.float32) for w in arrays]


def covariances(arrays: Arrays) -> Arrays:
    """Return second moments of correlated inputs of unequal size."""
    generator = np.random.default_rng(2)
    found = []
    for matrix in matrices(arrays):
        width = matrix.shape[1]
        mix = generator.normal(size=(width, 16)) * generator.exponential(size=(width, 1))
        found.append(
            (mix @ mix.T / 16 + np.diag(generator.uniform(0.1, 1, width))).astype(np.float32)
        )
    return found


def distance(arrays: Arrays, decoded: Arrays, norm: Weighting | None) -> float:
    """Return the squared distance of decoded weights from the given ones, in double precision."""
    errors = [w.astype(np.float64) - d for w, d in zip(arrays, decoded, strict=True)]
    if norm is None:
        return sum(float(np.square(e).sum()) for e in errors)
    if isinstance(norm, Diagonal):
        return sum(
            float((h.numpy() * e * e).sum()) for h, e in zip(norm.values, errors, strict=True)
        )
    pairs = zip(matrices(errors), norm.matrices, strict=True)
    return sum(float(((e @ c.numpy().astype(np.float64)) * e).sum()) for e, c in pairs)

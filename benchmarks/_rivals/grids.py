"""Uniform grids and narrower floating point numbers."""

from __future__ import annotations

from itertools import pairwise

import ml_dtypes
import numpy as np
import scipy.optimize

from _rivals.arrays import Array, Arrays, Rival


def round_minmax(bits: int) -> Rival:
    """Symmetric levels per tensor, scale from the largest magnitude."""

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            scale = np.abs(w).max() / most
            levels = np.clip(np.round(w / scale), -most, most).astype(np.int8)
            out.append(levels * scale)
        return out

    return run


def round_mse(bits: int) -> Rival:
    """The same with the scale of least error, by SciPy's bounded scalar minimisation."""

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            high = np.abs(w).max() / most

            def rounded(scale: float, w: Array = w) -> Array:
                return np.clip(np.round(w / scale), -most, most) * scale

            def error(scale: float, w: Array = w) -> float:
                return float(np.square(w - rounded(scale, w), dtype=np.float64).sum())

            found = scipy.optimize.minimize_scalar(
                error, bounds=(high / 50, high), method="bounded"
            )
            out.append(rounded(float(found.x)))
        return out

    return run


def round_asymmetric(bits: int) -> Rival:
    """Levels between the least and the largest weight of each tensor."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w in weights:
            low, high = w.min(), w.max()
            scale = (high - low) / (2**bits - 1)
            levels = np.round((w - low) / scale).astype(np.uint8)
            out.append(levels * scale + low)
        return out

    return run


def round_groups(bits: int, group: int) -> Rival:
    """Symmetric levels, a scale for every group of consecutive weights; the last may be shorter."""

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            groups = np.pad(w.reshape(-1), (0, -w.size % group)).reshape(-1, group)
            scale = np.abs(groups).max(axis=1, keepdims=True) / most
            scale[scale == 0] = 1
            levels = np.clip(np.round(groups / scale), -most, most).astype(np.int8)
            out.append((levels * scale).reshape(-1)[: w.size].reshape(w.shape))
        return out

    return run


def round_channels_mse(bits: int, candidates: int = 100) -> Rival:
    """Scale of least error for each output channel, of 100 clipping ranges tried for all at once.

    The usual way of post-training quantization.
    """

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            rows = w.reshape(len(w), -1)
            high = np.abs(rows).max(axis=1, keepdims=True) / most
            best = np.full((len(w), 1), np.inf, np.float32)
            chosen = high
            for share in np.linspace(1 / candidates, 1, candidates, dtype=np.float32):
                scale = share * high
                rounded = np.clip(np.round(rows / scale), -most, most) * scale
                error = np.square(rows - rounded).sum(axis=1, keepdims=True)
                chosen = np.where(error < best, scale, chosen)
                best = np.minimum(error, best)
            levels = np.clip(np.round(rows / chosen), -most, most).astype(np.int8)
            out.append((levels * chosen).reshape(w.shape))
        return out

    return run


def round_percentile(bits: int, percentile: float) -> Rival:
    """The scale that a percentile of the magnitudes gives, by ``np.percentile``."""

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            scale = np.percentile(np.abs(w), percentile).astype(np.float32) / most
            levels = np.clip(np.round(w / scale), -most, most).astype(np.int8)
            out.append(levels * scale)
        return out

    return run


def round_entropy(bits: int, bins: int = 2048) -> Rival:
    """Clip where the divergence of the histogram from its quantized version is least.

    Migacz, GTC 2017, a candidate after the other; small tensors have fewer bins, as ours.
    """
    pieces = 2 ** (bits - 1)

    def clip(magnitudes: Array) -> float:
        few = bins if magnitudes.size >= 4 * bins else 2 ** (magnitudes.size // 4).bit_length() // 2
        top = float(magnitudes.max())
        if few <= pieces:
            return top
        counts = np.histogram(magnitudes, few, (0.0, top))[0].astype(np.float64)
        least, best = np.inf, few
        for kept in range(pieces, few + 1):
            p = counts[:kept].copy()
            filled = p > 0
            q = np.zeros(kept)
            ends = [-(-piece * kept // pieces) for piece in range(pieces + 1)]
            for a, b in pairwise(ends):
                count = filled[a:b].sum()
                if count:
                    q[a:b][filled[a:b]] = p[a:b].sum() / count
            p[-1] += counts[kept:].sum()
            if q[-1] == 0 and p[-1] > 0:
                continue
            p, q = p / p.sum(), q / q.sum()
            some = p > 0
            divergence = float((p[some] * np.log(p[some] / q[some])).sum())
            if divergence <= least + 1e-12:
                least, best = min(least, divergence), kept
        return top * best / few

    def run(weights: Arrays) -> Arrays:
        most = 2 ** (bits - 1) - 1
        out = []
        for w in weights:
            scale = np.float32(clip(np.abs(w.reshape(-1))) / most)
            levels = np.clip(np.round(w / scale), -most, most).astype(np.int8)
            out.append(levels * scale)
        return out

    return run


def cast(name: str) -> Rival:
    """Round to a narrower floating point number, by NumPy or with the types of ``ml_dtypes``."""
    narrow = np.dtype(name if name == "float16" else getattr(ml_dtypes, name))
    largest = float(ml_dtypes.finfo(narrow).max)

    def run(weights: Arrays) -> Arrays:
        inside = [np.clip(w, -largest, largest).astype(narrow) for w in weights]
        return [w.astype(np.float32) for w in inside]

    return run

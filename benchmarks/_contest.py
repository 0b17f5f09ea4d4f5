"""Rivals for the C steps: the obvious NumPy, SciPy and scikit-learn ways of doing the same.

Each takes the list of weight arrays (float32), finds what has to be stored (survivors' positions in
order, indices, integer levels) as a C step does, and returns the decoded weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray
from sklearn.cluster import KMeans

Array = NDArray[np.floating]
Arrays = list[Array]
Rival = Callable[[Arrays], Arrays]


def flat(weights: Arrays) -> Array:
    return np.concatenate([w.reshape(-1) for w in weights])


def cut(vector: Array, like: Arrays) -> Arrays:
    ends = np.cumsum([w.size for w in like])[:-1]
    return [part.reshape(w.shape) for part, w in zip(np.split(vector, ends), like, strict=True)]


def top(density: float) -> Rival:
    """Keep the largest magnitudes, found by ``np.argpartition``."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        kept = max(1, round(density * vector.size))
        chosen = np.argpartition(np.abs(vector), vector.size - kept)[vector.size - kept :]
        chosen.sort()
        out = np.zeros_like(vector)
        out[chosen] = vector[chosen]
        return cut(out, weights)

    return run


def l1_ball(radius: float) -> Rival:
    """Duchi et al. 2008 with a full sort."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        size = np.abs(vector)
        ordered = np.sort(size)[::-1].astype(np.float64)
        excess = np.cumsum(ordered) - radius
        last = np.flatnonzero(ordered > excess / np.arange(1, vector.size + 1))[-1]
        threshold = max(excess[last] / (last + 1), 0.0)
        return cut((np.sign(vector) * np.maximum(size - threshold, 0)).astype(np.float32), weights)

    return run


def hard(threshold: float) -> Rival:
    """Keep magnitudes above a threshold."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        kept = np.flatnonzero(np.abs(vector) > threshold)
        out = np.zeros_like(vector)
        out[kept] = vector[kept]
        return cut(out, weights)

    return run


def soft(threshold: float) -> Rival:
    """Shrink magnitudes by a threshold."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        kept = np.flatnonzero(np.abs(vector) > threshold)
        values = vector[kept]
        out = np.zeros_like(vector)
        out[kept] = np.sign(values) * (np.abs(values) - threshold)
        return cut(out, weights)

    return run


def n_m(n: int, m: int) -> Rival:
    """Keep the n largest of every m along the inputs, by ``np.argpartition`` of each group."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w in weights:
            moved = np.moveaxis(w, 1, -1)
            groups = np.ascontiguousarray(moved).reshape(-1, m)
            dropped = np.argpartition(np.abs(groups), m - n, axis=1)[:, : m - n]
            kept = groups.copy()
            np.put_along_axis(kept, dropped, 0, axis=1)
            out.append(np.moveaxis(kept.reshape(moved.shape), -1, 1))
        return out

    return run


def filters(density: float) -> Rival:
    """Keep the output channels of largest norm, one threshold over all layers.

    Found are the positions of the survivors and their slices, as a C step stores them.
    """

    def run(weights: Arrays) -> Arrays:
        norms = [np.linalg.norm(w.reshape(len(w), -1), axis=1) for w in weights]
        every = np.concatenate(norms)
        kept = max(1, round(density * every.size))
        threshold = np.partition(every, every.size - kept)[every.size - kept]
        survivors = [np.flatnonzero(norm >= threshold) for norm in norms]
        slices = [w[chosen] for w, chosen in zip(weights, survivors, strict=True)]
        out = [np.zeros_like(w) for w in weights]
        for full, chosen, part in zip(out, survivors, slices, strict=True):
            full[chosen] = part
        return out

    return run


def kmeans(k: int, starts: int) -> Rival:
    """scikit-learn's KMeans over all weights."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        found = KMeans(k, n_init=starts, random_state=0).fit(vector[:, None])
        return cut(found.cluster_centers_[found.labels_, 0], weights)

    return run


def kmeans1d(k: int) -> Rival:
    """The kmeans1d library: exact, compiled."""
    import kmeans1d as library

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        found = library.cluster(vector, k)
        return cut(np.asarray(found.centroids)[found.clusters], weights)

    return run


def sign_scale() -> Rival:
    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        signs = (vector >= 0).astype(np.uint8)
        scale = np.abs(vector).mean(dtype=np.float64)
        return cut(np.array([-scale, scale], np.float32)[signs], weights)

    return run


def ternary_scale() -> Rival:
    """Scan the cumulative sums of the sorted magnitudes (arXiv:1707.04319, theorem 4.3)."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        size = np.abs(vector)
        sums = np.cumsum(np.sort(size)[::-1], dtype=np.float64)
        counts = np.arange(1, vector.size + 1)
        best = int(np.argmax(sums / np.sqrt(counts)))
        scale = sums[best] / counts[best]
        return cut(np.where(size > scale / 2, np.sign(vector) * scale, 0), weights)

    return run


def powers_of_two(c: int) -> Rival:
    """Nearest of 0, ±1, ±1/2 … ±2^-c, by comparing with every level."""

    def run(weights: Arrays) -> Arrays:
        levels = np.array([0.0, *(s * 2.0**-i for i in range(c + 1) for s in (1, -1))])
        levels.sort()
        between = (levels[1:] + levels[:-1]) / 2
        return [levels[np.searchsorted(between, w)] for w in weights]

    return run


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


def matrices(weights: Sequence[Array]) -> Arrays:
    return [w.reshape(len(w), -1) for w in weights]


def svd(rank: int, library: str) -> Rival:
    """Truncated SVD of every layer by LAPACK, through NumPy or SciPy."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w, matrix in zip(weights, matrices(weights), strict=True):
            if library == "NumPy":
                u, s, v = np.linalg.svd(matrix, full_matrices=False)
            else:
                u, s, v = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False)
            out.append((u[:, :rank] * s[:rank] @ v[:rank]).reshape(w.shape))
        return out

    return run


def select_rank(alpha: float, mu: float) -> Rival:
    """LC's rank selection: NumPy's SVD, then every rank's cost in turn."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w, matrix in zip(weights, matrices(weights), strict=True):
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            rows, columns = matrix.shape
            costs = [
                alpha * r * (rows + columns) + mu / 2 * np.square(s[r:], dtype=np.float64).sum()
                for r in range(len(s) + 1)
            ]
            r = int(np.argmin(costs))
            out.append((u[:, :r] * s[:r] @ v[:r]).reshape(w.shape))
        return out

    return run


def corrected(k: int, density: float, sweeps: int) -> Rival:
    """A codebook plus a sparse correction: KMeans and argpartition in turn, warm-started."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        sparse, codebook = np.zeros_like(vector), np.zeros_like(vector)
        start: Array | None = None
        for _ in range(sweeps):
            settings = {"n_init": 1} if start is None else {"init": start, "n_init": 1}
            found = KMeans(k, random_state=0, **settings).fit((vector - sparse)[:, None])
            start = found.cluster_centers_
            codebook = start[found.labels_, 0]
            (sparse,) = top(density)([vector - codebook])
        return cut(codebook + sparse, weights)

    return run


def chained(density: float, k: int) -> Rival:
    """Pruning, then KMeans of the survivors."""

    def run(weights: Arrays) -> Arrays:
        out = flat(top(density)(weights))
        kept = np.flatnonzero(out)
        found = KMeans(k, n_init=10, random_state=0).fit(out[kept][:, None])
        out[kept] = found.cluster_centers_[found.labels_, 0]
        return cut(out, weights)

    return run

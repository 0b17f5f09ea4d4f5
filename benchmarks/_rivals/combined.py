"""Sums and compositions, from the rivals of their parts."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from _rivals.arrays import Array, Arrays, Rival, cut, flat, matrices
from _rivals.grids import round_minmax
from _rivals.low_rank import svd
from _rivals.pruning import top


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


def low_rank_corrected(rank: int, density: float, sweeps: int) -> Rival:
    """Low rank plus a sparse correction, by LAPACK and argpartition in turn."""

    def run(weights: Arrays) -> Arrays:
        sparse = [np.zeros_like(w) for w in weights]
        low = sparse
        for _ in range(sweeps):
            low = svd(rank, "NumPy")([w - s for w, s in zip(weights, sparse, strict=True)])
            sparse = top(density)([w - part for w, part in zip(weights, low, strict=True)])
        return [part + s for part, s in zip(low, sparse, strict=True)]

    return run


def int8_factors(rank: int) -> Rival:
    """Low rank, then both factors rounded to 8 bits, a scale each."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w, matrix in zip(weights, matrices(weights), strict=True):
            if rank * sum(matrix.shape) >= matrix.size:
                factors = [matrix]
            else:
                u, s, v = np.linalg.svd(matrix, full_matrices=False)
                root = np.sqrt(s[:rank])
                factors = [u[:, :rank] * root, root[:, None] * v[:rank]]
            factors = round_minmax(8)(factors)
            product = factors[0] if len(factors) == 1 else factors[0] @ factors[1]
            out.append(product.reshape(w.shape))
        return out

    return run

"""Codebooks: learned levels, and fixed ones with a scale."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from _rivals.arrays import Arrays, Rival, cut, flat


def kmeans(k: int, starts: int) -> Rival:
    """scikit-learn's KMeans over all weights."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        found = KMeans(k, n_init=starts, random_state=0).fit(vector[:, None])
        return cut(found.cluster_centers_[found.labels_, 0], weights)

    return run


def kmeans_each_row(k: int, starts: int) -> Rival:
    """scikit-learn's KMeans, an output channel at a time."""

    def run(weights: Arrays) -> Arrays:
        out = [np.empty_like(w) for w in weights]
        for w, full in zip(weights, out, strict=True):
            for row, into in zip(w.reshape(len(w), -1), full.reshape(len(w), -1), strict=True):
                found = KMeans(k, n_init=starts, random_state=0).fit(row[:, None])
                into[:] = found.cluster_centers_[found.labels_, 0]
        return out

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


def kmeans_rows(k: int) -> Rival:
    """The kmeans1d library, an output channel at a time."""
    import kmeans1d as library

    def run(weights: Arrays) -> Arrays:
        out = [np.empty_like(w) for w in weights]
        for w, full in zip(weights, out, strict=True):
            for row, into in zip(w.reshape(len(w), -1), full.reshape(len(w), -1), strict=True):
                found = library.cluster(row, k)
                centroids = np.asarray(found.centroids, np.float32)
                into[:] = centroids[np.asarray(found.clusters, np.uint8)]
        return out

    return run


def kmeans_with_zero(k: int, sweeps: int = 100) -> Rival:
    """Lloyd's algorithm with one centre held at 0, started from quantiles."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        centres = np.sort(np.append(np.quantile(vector, (np.arange(k - 1) + 0.5) / (k - 1)), 0.0))
        zero = int(np.flatnonzero(centres == 0)[0])
        index = None
        for _ in range(sweeps):
            found = np.searchsorted((centres[1:] + centres[:-1]) / 2, vector)
            if index is not None and np.array_equal(found, index):
                break
            index = found
            sums = np.bincount(index, weights=vector, minlength=k)
            counts = np.bincount(index, minlength=k)
            centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
            centres[zero] = 0.0
        return cut(centres.astype(np.float32)[index], weights)

    return run


def signs() -> Rival:
    """The levels -1 and 1."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        positive = (vector >= 0).astype(np.uint8)
        return cut(np.array([-1, 1], np.float32)[positive], weights)

    return run


def ternary() -> Rival:
    """The levels -1, 0 and 1."""

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        digits = np.clip(np.round(vector), -1, 1).astype(np.int8)
        return cut(digits.astype(np.float32), weights)

    return run

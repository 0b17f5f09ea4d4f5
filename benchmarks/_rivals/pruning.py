"""Pruning: elementwise, n of m, channels and blocks."""

from __future__ import annotations

import numpy as np

from _rivals.arrays import Arrays, Rival, cut, flat


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


def weighted_top(density: float, importance: Arrays) -> Rival:
    """Keep the largest ``h w²``, found by ``np.argpartition``."""
    h = flat(importance)

    def run(weights: Arrays) -> Arrays:
        vector = flat(weights)
        kept = max(1, round(density * vector.size))
        scores = h * np.square(vector)
        chosen = np.argpartition(scores, vector.size - kept)[vector.size - kept :]
        chosen.sort()
        out = np.zeros_like(vector)
        out[chosen] = vector[chosen]
        return cut(out, weights)

    return run


def inputs(density: float) -> Rival:
    """Keep the input channels of largest norm, one threshold over all layers."""

    def run(weights: Arrays) -> Arrays:
        norms = [np.sqrt(np.square(w).sum(axis=(0, *range(2, w.ndim)))) for w in weights]
        every = np.concatenate(norms)
        kept = max(1, round(density * every.size))
        threshold = np.partition(every, every.size - kept)[every.size - kept]
        survivors = [np.flatnonzero(norm >= threshold) for norm in norms]
        slices = [w[:, chosen] for w, chosen in zip(weights, survivors, strict=True)]
        out = [np.zeros_like(w) for w in weights]
        for full, chosen, part in zip(out, survivors, slices, strict=True):
            full[:, chosen] = part
        return out

    return run


def blocks(density: float, linear: tuple[int, int], conv: tuple[int, int]) -> Rival:
    """Keep the blocks of largest norm; weights are padded to whole blocks and cut again."""

    def run(weights: Arrays) -> Arrays:
        views, norms = [], []
        for w in weights:
            rows, columns = linear if w.ndim == 2 else conv
            padding = [(0, -w.shape[0] % rows), (0, -w.shape[1] % columns)]
            padded = np.pad(w, padding + [(0, 0)] * (w.ndim - 2))
            height, width = padded.shape[:2]
            view = padded.reshape(height // rows, rows, width // columns, columns, -1)
            views.append(view)
            norms.append(np.square(view).sum(axis=(1, 3, 4)))
        every = np.concatenate([norm.reshape(-1) for norm in norms])
        kept = max(1, round(density * every.size))
        threshold = np.partition(every, every.size - kept)[every.size - kept]
        out = []
        for w, view, norm in zip(weights, views, norms, strict=True):
            found = np.flatnonzero(norm >= threshold)
            i, j = np.unravel_index(found, norm.shape)
            survivors = view[i, :, j]  # the weights that are stored
            full = np.zeros_like(view)
            full[i, :, j] = survivors
            shape = (view.shape[0] * view.shape[1], view.shape[2] * view.shape[3], *w.shape[2:])
            out.append(full.reshape(shape)[: w.shape[0], : w.shape[1]])
        return out

    return run

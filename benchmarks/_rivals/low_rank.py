"""Low rank, by LAPACK's singular value decomposition."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize

from _rivals.arrays import Array, Arrays, Rival, matrices


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


def _kept(w: Array, u: Array, s: Array, v: Array, rank: int) -> Array:
    """Return the factors' product, or the weights where factors would not be smaller."""
    rows, columns = u.shape[0], v.shape[1]
    if rank * (rows + columns) >= rows * columns:
        return w.copy()
    return (u[:, :rank] * s[:rank] @ v[:rank]).reshape(w.shape)


def keep_energy(share: float) -> Rival:
    """Keep the least rank that has a share of the energy."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w, matrix in zip(weights, matrices(weights), strict=True):
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            energies = np.cumsum(np.square(s, dtype=np.float64))
            rank = int(np.searchsorted(energies, share * energies[-1])) + 1
            out.append(_kept(w, u, s, v, rank))
        return out

    return run


def spatial(rank: int) -> Rival:
    """Vertical and horizontal filters (Jaderberg et al. 2014): SVD of ``(out kw, in kh)``."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w in weights:
            o, i, kh, kw = w.shape
            matrix = w.transpose(0, 3, 1, 2).reshape(o * kw, i * kh)
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            if rank * (o * kw + i * kh) >= w.size:
                out.append(w.copy())
                continue
            low = u[:, :rank] * s[:rank] @ v[:rank]
            out.append(np.ascontiguousarray(low.reshape(o, kw, i, kh).transpose(0, 2, 3, 1)))
        return out

    return run


def shared_budget(share: float) -> Rival:
    """Ranks of most energy within a budget of parameters: an integer program of all ranks."""

    def run(weights: Arrays) -> Arrays:
        budget = share * sum(w.size for w in weights)
        layers = [np.linalg.svd(m, full_matrices=False) for m in matrices(weights)]
        values, costs, layer = [], [], []
        for number, (w, (u, s, v)) in enumerate(zip(weights, layers, strict=True)):
            energies = np.cumsum(np.square(s, dtype=np.float64))
            each = u.shape[0] + v.shape[1]
            ranks = np.arange(1, -(-w.size // each))
            values += [energies[ranks - 1], energies[-1:]]
            costs += [ranks * each, [w.size]]
            layer += [number] * (len(ranks) + 1)
        value, cost, owner = np.concatenate(values), np.concatenate(costs), np.array(layer)
        one = (owner == np.arange(len(weights))[:, None]).astype(float)
        found = scipy.optimize.milp(
            -value / value.max(),
            integrality=np.ones(len(value)),
            bounds=(0, 1),
            constraints=[
                scipy.optimize.LinearConstraint(one, 1, 1),
                scipy.optimize.LinearConstraint(cost[None], 0, budget),
            ],
            options={"mip_rel_gap": 0.0},
        )
        chosen = np.flatnonzero(found.x > 0.5)
        out = []
        for number, (w, (u, s, v)) in enumerate(zip(weights, layers, strict=True)):
            option = int(chosen[number] - np.flatnonzero(owner == number)[0])
            dense = option == (owner == number).sum() - 1
            rank = option + 1
            out.append(w.copy() if dense else (u[:, :rank] * s[:rank] @ v[:rank]).reshape(w.shape))
        return out

    return run


def whitened(rank: int, covariances: Arrays) -> Rival:
    """Least change of the outputs: SVD of W S with C = S Sᵀ (SVD-LLM, arXiv:2403.07378)."""

    def run(weights: Arrays) -> Arrays:
        out = []
        for w, matrix, c in zip(weights, matrices(weights), covariances, strict=True):
            if rank * sum(matrix.shape) >= matrix.size:
                out.append(w.copy())
                continue
            root = np.linalg.cholesky(c)
            u, s, v = np.linalg.svd(matrix @ root, full_matrices=False)
            right = scipy.linalg.solve_triangular(root, v[:rank].T, lower=True, trans=1).T
            out.append((u[:, :rank] * s[:rank] @ right).reshape(w.shape))
        return out

    return run

"""Truncated singular value decompositions, under the identity or an input covariance.

The best approximation of rank r is the projection on the r leading singular vectors of one side
(Eckart & Young 1936). They are eigenvectors of the smaller Gram matrix, formed and decomposed in
float64: for float32 weights that is several times as fast as a decomposition of the matrix itself
and just as exact, since squaring costs half of sixteen digits (singular values are right to about
1e-8 of the largest one). For float64 weights the matrix itself is decomposed.

Under ``‖E‖² = tr(E C Eᵀ)`` the same holds of ``W S`` with ``S Sᵀ = C`` (SVD-LLM, Wang et al. 2024,
arXiv:2403.07378). With its leading left singular vectors U, the optimum that is smallest where C
does not see it is ``U (Uᵀ W P)``, P the projection on the range of C: nothing is divided by a
singular value of S, and inputs that are always zero do no harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.compression.factorized.factors import Pair
from autocompress.compression.weighting import is_definite, unseen_share

_SUBSET = 16
"""From this many times the rank on, a few eigenvectors come faster than all of them."""
_SMALL = 128
"""Up to this size all eigenvectors are quickest."""
_ROWS = 512
"""Rows of a tall matrix that are converted at a time."""
_LARGE = 1024
"""From this size on memory counts: LAPACK's driver with little workspace, as quick there."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Leading singular values and vectors of a matrix, in the norm of a covariance.

    Attributes:
        matrix: The matrix ``(m, n)``; where a covariance does not see some inputs, projected on
            those that it sees.
        squares: Squared singular values in that norm, descending, float64. Their sum beyond r is
            the error of rank r.
        basis: Singular vectors as columns, in the same order; float64.
        left: Whether these are the left ones.
    """

    matrix: Tensor
    squares: Tensor
    basis: Tensor
    left: bool

    def truncated(self, rank: int) -> Pair:
        """Return U ``(m, r)`` and V ``(r, n)``, of equal norm, whose product is best at rank r.

        In the matrix's dtype.
        """
        dtype = self.matrix.dtype
        wide, half = self.matrix.to(working_dtype(dtype)), 1.0
        if self.squares.numel() and not float(self.squares[0]) < _moderate(wide.dtype):
            # at a scale where norms and products do not overflow
            exponent = math.ceil(math.log2(float(wide.abs().max())) / 2)
            wide, half = wide.double() * 4.0**-exponent, 2.0**exponent
        basis = self.basis[:, :rank].to(wide.dtype)
        other = basis.T @ wide if self.left else (wide @ basis).T
        # each factor takes the square root of the singular values; those of 0 have no direction
        root = torch.linalg.vector_norm(other, dim=1, dtype=torch.float64).sqrt()
        inverse = torch.where(root > 0, 1 / root, 0.0)
        near, far = basis * root.to(wide.dtype), other * inverse.to(wide.dtype)[:, None]
        u, v = (half * near, half * far) if self.left else (half * far.T, half * near.T)
        return u.to(dtype).contiguous(), v.to(dtype).contiguous()


def _moderate(dtype: torch.dtype) -> float:
    """Square of a number whose products with a few others do not overflow."""
    return 2.0**240 if dtype == torch.float32 else 2.0**1000


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: there are no decompositions in half precision."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def decompose(
    matrix: Tensor,
    covariance: Tensor | None = None,
    rank: int | None = None,
    *,
    definite: bool | None = None,
) -> Decomposition:
    """Decompose a matrix in the norm of a covariance.

    Args:
        matrix: ``(m, n)``, finite, any floating dtype.
        covariance: ``(n, n)``, symmetric positive semidefinite, perhaps singular; None is the
            identity. Eigenvalues below rounding are taken for zero.
        rank: How many singular values are wanted at least; None is all.
        definite: Whether no eigenvalue is taken for zero; None where that is not known.
    """
    if covariance is not None:
        definite = is_definite(covariance) if definite is None else definite
        covariance = covariance.to(matrix.device)
        if definite and matrix.dtype != torch.float64 and matrix.numel():
            return _under_definite(matrix, covariance, rank)
        return _whitened(matrix, covariance, rank)
    squares, basis, left = _singular(matrix, rank, matrix.dtype)
    return Decomposition(matrix, squares, basis, left)


def spectrum(matrix: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Return all squared singular values, see :func:`decompose`."""
    return decompose(matrix, covariance).squares


def tails(squares: Tensor) -> Tensor:
    """Return the error of each rank 0 … R: sums of the squares beyond it, float64 on the CPU."""
    values = squares.cpu()
    # the small ones are added first
    sums = values.flip(0).cumsum(0).flip(0)
    return torch.cat([sums, sums.new_zeros(1)])


def _singular(
    matrix: Tensor, rank: int | None, precision: torch.dtype
) -> tuple[Tensor, Tensor, bool]:
    """Return squared singular values, singular vectors of one side, and whether it is the left."""
    rows, columns = matrix.shape
    if precision == torch.float64 or matrix.numel() == 0:
        u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
        return s.square(), u, True
    left = rows <= columns
    values, vectors = _eigen(_gram(matrix if left else matrix.T), rank)
    return values.clamp(min=0), vectors, left


def _gram(matrix: Tensor) -> Tensor:
    """Return ``A Aᵀ`` in float64, converting a block of columns at a time."""
    rows, columns = matrix.shape
    width = max(64, columns // 8)
    total = torch.zeros(rows, rows, dtype=torch.float64, device=matrix.device)
    for start in range(0, columns, width):
        block = matrix[:, start : start + width].to(torch.float64)
        total.addmm_(block, block.T)
    return total


def _eigen(gram: Tensor, rank: int | None) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, descending, and eigenvectors; at least the ``rank`` largest."""
    size = gram.shape[0]
    few = rank is not None and rank * _SUBSET <= size and size > _SMALL
    if gram.device.type == "cpu" and (few or size > _LARGE):
        import scipy.linalg

        diagonal = gram.diagonal().clone()
        try:
            values, vectors = scipy.linalg.eigh(
                gram.numpy().T,  # symmetric, and in the order of columns that is worked on in place
                subset_by_index=[size - rank, size - 1] if few and rank is not None else None,
                driver="evr",
                overwrite_a=True,
                check_finite=False,
            )
            # no copy of vectors that nobody asked for
            wanted = vectors[:, -rank:] if rank is not None else vectors
            return torch.from_numpy(values).flip(0), torch.from_numpy(wanted).flip(1)
        except scipy.linalg.LinAlgError:
            if not few:
                raise
            # clustered eigenvalues; the full decomposition copes. LAPACK spoils one half alone
            half = gram.tril(-1)
            gram = half + half.T + diagonal.diag()
    values, vectors = torch.linalg.eigh(gram)
    del gram  # which nobody else has
    return values.flip(0), vectors.flip(1)


def _whitened(matrix: Tensor, covariance: Tensor, rank: int | None) -> Decomposition:
    """Decompose ``W S`` for ``S Sᵀ = C``; the basis is its left singular vectors."""
    found = torch.linalg.eigh(covariance.to(torch.float64))
    values, vectors = found.eigenvalues, found.eigenvectors
    # what is below the rounding of C itself is not there
    seen = values > max(float(values.max()) * unseen_share(covariance), 0.0)
    across, root = vectors[:, seen], values[seen].sqrt()
    images = matrix.to(torch.float64) @ across
    squares, basis, left = _singular(images * root, rank, matrix.dtype)
    if not left:
        basis = _orthonormal((images * root) @ basis)
    if not bool(seen.all()):
        matrix = (images @ across.T).to(matrix.dtype)
    return Decomposition(matrix, *_padded(squares, basis, min(matrix.shape)), True)


def _under_definite(matrix: Tensor, covariance: Tensor, rank: int | None) -> Decomposition:
    """Do the same where C has no direction of zeros: it need not be decomposed itself.

    The left singular vectors are eigenvectors of ``W C Wᵀ``. Where W is taller than wide those of
    ``Lᵀ Wᵀ W L`` are fewer, with ``C = L Lᵀ`` by Cholesky.
    """
    rows, columns = matrix.shape
    if rows <= columns:
        values, basis = _eigen(_product(matrix, covariance), rank)
        return Decomposition(matrix, values.clamp(min=0), basis, True)
    lower = torch.linalg.cholesky(covariance.to(torch.float64))
    gram = lower.new_zeros(lower.shape)
    for some in matrix.split(_ROWS):
        images = some.to(torch.float64) @ lower
        gram.addmm_(images.T, images)
    values, vectors = _eigen(gram, rank)
    del gram
    right = lower @ vectors
    del lower, vectors
    images = torch.cat([some.to(torch.float64) @ right for some in matrix.split(_ROWS)])
    return Decomposition(matrix, values.clamp(min=0), _orthonormal(images), True)


def _product(matrix: Tensor, covariance: Tensor) -> Tensor:
    """Return ``W C Wᵀ`` in float64, converting a block of columns of C at a time."""
    wide = matrix.to(torch.float64)
    total = wide.new_zeros(len(wide), len(wide))
    width = max(64, len(covariance) // 8)
    for start in range(0, len(covariance), width):
        some = slice(start, start + width)
        total.addmm_(wide @ covariance[:, some].to(torch.float64), wide[:, some].T)
    return total


def _orthonormal(columns: Tensor) -> Tensor:
    """Return a basis in the same order; orthonormal even where singular values are tiny."""
    basis: Tensor = torch.linalg.qr(columns).Q
    return basis


def _padded(squares: Tensor, basis: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Append zeros to a decomposition of an ``A`` that is narrower than W."""
    missing = size - squares.numel()
    if missing <= 0:
        return squares, basis
    zeros = basis.new_zeros(basis.shape[0], size - basis.shape[1])
    return torch.cat([squares, squares.new_zeros(missing)]), torch.cat([basis, zeros], 1)

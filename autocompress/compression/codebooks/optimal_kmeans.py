"""The globally optimal scalar codebook (1-D k-means), and nearest-centre assignment.

**Problem.** Given n scalars, find the k centres that minimise the sum of squared distances from
every scalar to its nearest centre: the exact C step of codebook quantization. Optimal clusters are
intervals of the sorted scalars, so a solution is k-1 breakpoints, and dynamic programming over them
is exact; the cost is Monge, which brings it down to O(k·n log n) or less (Wu 1991, J. Algorithms
12(4); Grønlund et al. 2017, arXiv:1701.07204). With hundreds of thousands of scalars that is still
too much work for array operations.

**Method.** Coarse-to-fine dynamic programming (after Raphael 2001, "Coarse-to-fine dynamic
programming") over ever fewer, ever finer candidate breakpoints, with a lower bound of second order
in the cell width. The sorted scalars are cut into cells of consecutive scalars, each known by its
weight w, mean m and scatter q = Σ(x-m)². Take an optimal breakpoint strictly inside a cell, between
the centres c < c', and let u = (c+c')/2. Move it to the cell's right end if u > m, else to the left
one: all breakpoints stay in order. With the centres held, moving right costs

    2(c'-c)·Σ_{x>u}(x-u)  =  4(u-c)·Σ_{x>u}(x-u)  <=  2a·max(m-c, 0) + q,    a = √(w·q),

because Σ_{x>u}(x-u) <= Σ|x-m|/2 <= a/2 and (u-m)·Σ_{x>u}(x-u) <= Σ_{x>m}(x-m)²/4; moving left
likewise, with c'-m. For any τ > 0, 2a·d <= (a/τ)·d² + a·τ: the first part is what a weight a/τ at
the cell's mean costs its cluster, the second is constant. So dynamic programming over the cells'
borders alone bounds the optimum from below, in total and through each border, if it takes the
weight a/τ off the first and the last cell of every cluster, and a·τ + q off at every breakpoint.
With τ >= 4a/w no weight turns negative, and the bound is itself a k-means cost, hence Monge.

The number of clusters is replaced by a price of each. Costs being Monge, the least cost F(k) is
convex in k, so with a price between F(k)-F(k+1) and F(k-1)-F(k) the cheapest number of clusters is
k, and nothing is lost (Aggarwal, Schieber & Tokuyama 1994; Grønlund et al. 2017). One pass over the
borders then takes the place of k of them, and what it keeps does not grow with k. A solution with a
breakpoint that only another number of clusters explains costs at least half as much more by these
bounds, for a price in the middle, as by bounds for k clusters: little less is pruned.

Each round looks for the price, computes these bounds from both ends (:mod:`.kmeans_priced`), closes
all cells that no solution as good as the best known one has a breakpoint in, joins those at no such
place, and splits the others (:mod:`.kmeans_search`). It ends when the bound meets the best
solution, or all cells left are single scalars, and the bound is exact.

**Guarantee.** The optimum, up to floating point (1e-12 relative) and to the rounding of the centres
to the values' type. Heuristics (a first guess, local improvement) only save time. Pruning allows
for rounding; all sums are taken about nearby points, and gaps too wide for an optimal cluster to
span are shortened first, so neither offsets nor outliers nor clusters far apart cancel digits.

**Complexity.** O(n log n) to sort; then, for smooth data, about O(k log n) candidates, each tried
with some dozens of starts. In the worst case, ever so many equally good solutions, all scalars are
candidates. Memory: a sorted copy, sums of every few scalars, and some 15 numbers for each of the
candidates at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autocompress.compression.codebooks.kmeans_search import optimal_centres
from autocompress.compression.codebooks.scalars import Reals, sort_scalars, sort_weighted
from autocompress.compression.tensors import PLAIN
from autocompress.errors import SchemeError

_BLOCK = 1 << 15  # scalars assigned at a time, to stay in cache


def optimal_kmeans(
    values: Tensor,
    k: int,
    weights: Tensor | None = None,
    *,
    zero: bool = False,
    scratch: bool = False,
) -> Tensor:
    """Return the globally optimal k-means codebook of scalars.

    Args:
        values: Any shape, n >= 1 finite floating-point values, on any device.
        k: Number of centres, at least 1.
        weights: What each value's squared distance is multiplied by: same shape, floating point,
            >= 0 and finite. Values without weight count for nothing, but where none has any they
            count alike. None for ones.
        zero: Whether one of the centres is to be 0.
        scratch: Whether `values` may be overwritten, which saves a copy.

    Returns:
        The centres, ascending and distinct: shape (min(k, distinct values),), on the device and of
        the dtype of `values`, but float32 for the 16-bit types.

    Raises:
        SchemeError: `k` < 1, no values, values that are not floating point or not finite.
    """
    if k < 1:
        raise SchemeError(f"a codebook needs at least one centre, not k = {k}")
    if values.numel() == 0 or not values.is_floating_point():
        found = f"{values.numel()} of {values.dtype}"
        raise SchemeError(f"a codebook needs floating-point values, not {found}")
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    x, h = _scalars(values.detach().reshape(-1).to(dtype), weights, scratch)
    pin = int(np.searchsorted(x, 0.0)) if zero else -1
    if zero:  # a scalar of its own, at a distance of 0, makes every solution have that cluster
        x, h = np.insert(x, pin, 0.0), None if h is None else np.insert(h, pin, h.max())
    if 1 + np.count_nonzero(x[1:] != x[:-1]) <= k:
        return torch.from_numpy(np.unique(x)).to(values.device)
    exponent = 0
    if dtype == torch.float64:  # squares of float32 fit float64 always, those of float64 may not
        exponent = int(np.frexp(np.abs(x[[0, -1]]).max())[1])
        np.ldexp(x, -exponent, out=x)
    centres = np.ldexp(optimal_centres(x, k, h, pin), exponent)
    return torch.from_numpy(centres).to(values.device, dtype)


def assign(values: Tensor, codebook: Tensor) -> Tensor:
    """Return the index of the nearest centre of every value; of two equally near, the lower one.

    Args:
        values: Any shape, floating point.
        codebook: Ascending centres, shape (k,), on the same device.

    Returns:
        Indices in the shape of `values`: uint8 when k <= 256, else int32.
    """
    dtype = torch.uint8 if codebook.numel() <= 256 else torch.int32
    values, between = values.detach().contiguous(), thresholds(codebook.detach(), values.dtype)
    if values.device.type == "cpu" and values.dtype in PLAIN:
        out = np.uint8 if dtype == torch.uint8 else np.int32
        index = _count_below(values.view(-1).numpy(), between.numpy(), out)
        if index is not None:
            return torch.from_numpy(index).view(values.shape)
    return torch.bucketize(values, between, out_int32=True).to(dtype)


def _scalars(flat: Tensor, weights: Tensor | None, scratch: bool) -> tuple[Reals, Reals | None]:
    """Return the sorted values that have weight, and their weights, None where all are equal."""
    h = None if weights is None else weights.detach().reshape(-1).to(flat.device)
    if h is not None and (not bool(h.any()) or bool((h == h[0]).all())):
        h = None
    if h is None:
        x = sort_scalars(flat, scratch=scratch)
    if h is not None:
        if not bool(torch.isfinite(flat).all()):
            raise SchemeError("a codebook needs finite values: found NaN or infinity")
        used = h > 0
        if not bool(used.all()):
            flat, h = flat[used], h[used]
        wide = h.to(torch.float64 if h.dtype == torch.float64 else torch.float32).cpu().numpy()
        if wide.dtype == np.float64:  # a weight must not overflow when it is squared
            wide = np.ldexp(wide, -int(np.frexp(wide.max())[1]))
        return sort_weighted(flat.cpu().numpy(), wide)
    if not np.isfinite(x[[0, -1]]).all():  # NumPy and torch sort NaN to the end
        raise SchemeError("a codebook needs finite values: found NaN or infinity")
    return x, None


def thresholds(codebook: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the midpoints along the last axis, rounded down to `dtype`: no value is in between."""
    half = codebook.double() / 2
    exact = half[..., 1:] + half[..., :-1]
    rounded = exact.to(dtype)
    below = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
    return torch.where(rounded.double() > exact, below, rounded)


def _count_below(
    v: Reals, between: Reals, dtype: npt.DTypeLike
) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32] | None:
    """Count the thresholds below every value; None where there is no fast way.

    Few thresholds are compared one after the other. Of many, equal bins tell how many are below the
    value's bin (binning is monotone, so this is exact), and those in its own bin are compared.
    """
    index = np.zeros(len(v), dtype)
    if len(between) < 20:
        above = np.empty(_BLOCK, bool)
        for a in range(0, len(v), _BLOCK):
            part, count = v[a : a + _BLOCK], index[a : a + _BLOCK]
            for threshold in between:
                np.greater(part, threshold, out=above[: len(part)])
                count += above[: len(part)].view(np.uint8)
        return index
    bins = min(64 * len(between), 1 << 16)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = v.dtype.type(bins - 1) / (between[-1] - between[0])
    if not 0.0 < scale < np.inf:
        return None
    home = ((between - between[0]) * scale).astype(np.int32)
    most = int(np.bincount(home).max())
    if most > 8:
        return None
    lower = np.searchsorted(home, np.arange(bins)).astype(np.int32)
    padded = np.append(between, np.full(most, np.inf, v.dtype))
    for a in range(0, len(v), _BLOCK):
        part = v[a : a + _BLOCK]
        with np.errstate(over="ignore"):
            place = (part - between[0]) * scale
        np.clip(place, 0, bins - 1, out=place)
        count = lower.take(place.astype(np.int32))
        for _ in range(most):
            count += part > padded.take(count)
        index[a : a + _BLOCK] = count
    return index

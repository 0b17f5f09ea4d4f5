"""An optimal codebook for each of many groups of scalars.

Small groups of float32 are solved together: all costs of a group's intervals, then dynamic
programming over their ends, O(k·g²) a group of g. Costs come from differences of double-precision
sums, exact to 1e-15 of a group's energy, which is below what rounding its centres to float32
changes. Larger groups are solved together by :mod:`.kmeans_rows`. One by one, through
:func:`.optimal_kmeans.optimal_kmeans`, go very large ones, those that a codebook fits so well that
such sums do not tell, and float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.codebooks.kmeans_rows import row_codebooks
from autocompress.compression.codebooks.optimal_kmeans import optimal_kmeans, thresholds
from autocompress.compression.codebooks.partition import TILE, Runs, count_of, tiles
from autocompress.compression.codebooks.scalars import Floats, Ints

_SMALL = 128  # scalars of a group up to which groups are solved together
_COSTS = 1 << 16  # costs held at a time: half a megabyte
_LARGE = 1 << 16  # scalars of a group times centres up to which large groups are, too
_COMPARED = 20  # thresholds up to which every one is compared with
_TILE, _LARGEST_TILE = 5 << 13, 1 << 17  # scalars of larger groups at a time, some 65 bytes each


def grouped_kmeans(
    flat: Tensor, k: int, runs: Runs, weights: Tensor | None = None, *, zero: bool = False
) -> Tensor:
    """Return every group's optimal codebook, ascending.

    Args:
        flat: The concatenated scalars, finite.
        k: Number of centres of each group.
        runs: The groups.
        weights: What each squared distance is multiplied by, >= 0, or None. Groups without weight
            count all their scalars alike.
        zero: Whether one centre of every codebook is to be 0.

    Returns:
        Shape (groups, k), in the dtype and on the device of `flat` (float32 for 16-bit types).
        Where fewer centres are enough the largest is repeated.
    """
    dtype = torch.float64 if flat.dtype == torch.float64 else torch.float32
    out = torch.empty(count_of(runs), k, dtype=dtype)
    group = start = 0
    for count, size in runs:
        alone = dtype == torch.float64 or size * k > _LARGE or size <= k
        small = size <= _SMALL and dtype == torch.float32
        step = 1
        if small:
            step = max(_COSTS // (size + 2) ** 2, 1)
        elif not alone:
            step = max(min(max(_TILE, flat.numel() // 7), _LARGEST_TILE) // size, 1)
        for first in range(0, count, step):
            many = min(step, count - first)
            some = slice(start + first * size, start + (first + many) * size)
            part, own = flat[some], None if weights is None else weights[some]
            rows = slice(group + first, group + first + many)
            if small:
                x = part.float().cpu().numpy().astype(np.float64).reshape(many, size)
                h = None if own is None else own.double().cpu().numpy().reshape(many, size)
                out[rows] = torch.from_numpy(_together(x, h, k, zero)).float()
            elif alone:
                out[rows] = _alone(part, k, own, zero)
            else:
                out[rows] = _rows(part.view(many, size), k, own, zero)
        group, start = group + count, start + count * size
    return out.to(flat.device)


def _alone(part: Tensor, k: int, own: Tensor | None, zero: bool) -> Tensor:
    """Return the codebook of one group."""
    found = optimal_kmeans(part, k, own, zero=zero).cpu()
    return torch.cat([found, found[-1:].expand(k - len(found))])


def _rows(part: Tensor, k: int, own: Tensor | None, zero: bool) -> Tensor:
    """Return the codebooks of the rows of a matrix."""
    h = None if own is None else own.view(part.shape)
    wide = None if h is None else _scaled(h.double().cpu().numpy())
    centres, sure = row_codebooks(part.float().cpu().numpy(), wide, k, zero)
    found = torch.from_numpy(centres).float()
    for row in np.flatnonzero(~sure):
        found[row] = _alone(part[row], k, None if h is None else h[row], zero)
    return found


def assign_groups(flat: Tensor, codebooks: Tensor, runs: Runs) -> Tensor:
    """Return the index of every scalar's nearest centre in its group's codebook.

    Returns:
        Shape of `flat`: uint8 when codebooks have at most 256 entries, else int32.
    """
    small = codebooks.shape[1] <= 256
    out = torch.empty(flat.numel(), dtype=torch.uint8 if small else torch.int32, device=flat.device)
    between = thresholds(codebooks, flat.dtype)
    for groups, some in tiles(runs):
        part = flat[some].view(groups.stop - groups.start, -1)
        if between.shape[1] < _COMPARED:
            index = torch.zeros(part.shape, dtype=out.dtype, device=out.device)
            for threshold in between[groups].T:
                index += part > threshold[:, None]
        else:
            own = between[groups].contiguous()
            index = torch.searchsorted(own, part.contiguous(), out_int32=True).to(out.dtype)
        out[some] = index.view(-1)
    return out


def look_up_groups(codebooks: Tensor, indices: Tensor, runs: Runs) -> Tensor:
    """Return the entries that indices point at, each in its group's codebook."""
    out = codebooks.new_empty(indices.shape)
    for groups, some in tiles(runs):
        for a in range(some.start, some.stop, 8 * TILE):
            part = slice(a, min(a + 8 * TILE, some.stop))
            rows = groups.stop - groups.start
            index = indices[part].long().view(rows, -1)
            out[part] = codebooks[groups].gather(1, index).view(-1)
    return out


def _together(x: Floats, h: Floats | None, k: int, zero: bool) -> Floats:
    """Return the codebooks of groups of one size, (groups, k); h and x are (groups, size)."""
    weight = np.ones_like(x) if h is None else _scaled(h)
    largest = np.abs(x).max(1, keepdims=True)
    unit = np.where(largest > 0.0, largest, 1.0)
    x = x / unit
    if zero:
        x = np.append(x, np.zeros((len(x), 1)), 1)
        weight = np.append(weight, np.zeros((len(x), 1)), 1)
    order = np.argsort(x, 1, kind="stable")
    x, weight = np.take_along_axis(x, order, 1), np.take_along_axis(weight, order, 1)
    origin = np.zeros((len(x), 1)) if zero else x[:, x.shape[1] // 2, None]
    away = x - origin
    sums = [_before(weight), _before(weight * away), _before(weight * away * away)]
    pin = np.argmax(x >= 0.0, 1) if zero else None
    path = _paths(_interval_costs(sums, pin), k)
    w, m = (np.diff(np.take_along_axis(s, path, 1), axis=1) for s in sums[:2])
    centre = np.divide(m, w, out=np.full_like(m, np.nan), where=w > 0.0) + origin
    if pin is not None:
        centre[(path[:, :-1] <= pin[:, None]) & (path[:, 1:] > pin[:, None])] = 0.0
    centre.sort(1)  # NaN, for what no scalar of weight needs, comes last
    last = np.isfinite(centre).sum(1) - 1
    spare = np.take_along_axis(centre, last[:, None], 1)
    result: Floats = np.where(np.isfinite(centre), centre, spare) * unit
    return result


def _scaled(h: Floats) -> Floats:
    largest = h.max(1, keepdims=True)
    scaled: Floats = np.where(largest > 0.0, h / np.where(largest > 0.0, largest, 1.0), 1.0)
    return scaled


def _before(terms: Floats) -> Floats:
    """Return the sums of each row's first 0..size terms."""
    out = np.zeros((len(terms), terms.shape[1] + 1))
    np.cumsum(terms, axis=1, out=out[:, 1:])
    return out


def _interval_costs(sums: list[Floats], pin: Ints | None) -> Floats:
    """Return the cost of the scalars from every start to every end, as (group, end, start)."""
    weight, moment, square = (s[:, :, None] - s[:, None, :] for s in sums)
    moment *= moment
    np.divide(moment, weight, out=moment, where=weight > 0.0)
    moment[weight <= 0.0] = 0.0
    place = np.arange(weight.shape[1])
    if pin is not None:
        after = place > pin[:, None]
        moment[after[:, :, None] & ~after[:, None, :]] = 0.0
    square -= moment
    np.maximum(square, 0.0, out=square)
    square[:, place[:, None] < place] = np.inf
    return square


def _paths(cost: Floats, k: int) -> Ints:
    """Return the k+1 breakpoints of the best path of every group."""
    groups, ends, _ = cost.shape
    ahead = cost[:, :, 0].copy()
    choice = np.zeros((k, groups, ends), np.int64)
    for layer in range(1, k):
        total = cost + ahead[:, None, :]
        total.argmin(2, out=choice[layer])
        ahead = np.take_along_axis(total, choice[layer][:, :, None], 2)[:, :, 0]
    path = np.zeros((groups, k + 1), np.int64)
    path[:, k] = ends - 1
    for layer in range(k - 1, -1, -1):
        path[:, layer] = np.take_along_axis(choice[layer], path[:, layer + 1, None], 1)[:, 0]
    return path

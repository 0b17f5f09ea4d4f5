"""Binarization: {-1, 1}, and {-c, c} with the optimal c."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.base import Code, Tensors, flatten, shapes_of
from autocompress.compression.codebooks.fixed import FixedLevels, ScaledLevels
from autocompress.compression.codebooks.levels import LevelsCode, levels_code, nearest_levels
from autocompress.compression.codebooks.partition import Group, Runs, count_of, runs_of, tiles
from autocompress.compression.weighting import Weighting, diagonal

SIGNS = (-1.0, 1.0)
_BLOCK = 1 << 15  # magnitudes at a time: they stay in cache


@final
@dataclass(frozen=True)
class Binary(FixedLevels):
    """Replace every weight by -1 or 1: its sign, 1 for 0.

    The exact solution of ``min Σ hᵢ(wᵢ − θᵢ)², θᵢ ∈ {−1, 1}`` for any diagonal weighting h
    (Courbariaux et al. 2015, arXiv:1511.00363; Carreira-Perpiñán & Idelbayev 2017,
    arXiv:1707.04319). One bit a weight and nothing else.
    """

    name: ClassVar[str] = "binary"
    levels: ClassVar[tuple[float, ...]] = SIGNS


@final
@dataclass(frozen=True)
class BinaryScale(ScaledLevels):
    """Replace every weight by -c or c, with a learned c >= 0 for each group.

    The exact solution of ``min Σ hᵢ(wᵢ − c·sᵢ)²`` over c and the signs s:
    ``c = Σ hᵢ|wᵢ| / Σ hᵢ``, the mean magnitude where all hᵢ are equal (Rastegari et al. 2016,
    arXiv:1603.05279; Carreira-Perpiñán & Idelbayev 2017, arXiv:1707.04319). One bit a weight and
    one number a group.

    Args:
        group: Which weights share a scale: None, all the task's; ``"tensor"``; ``"row"``, every
            output neuron or filter; an integer g, every g consecutive weights.
    """

    name: ClassVar[str] = "binary-scale"
    levels: ClassVar[tuple[float, ...]] = SIGNS
    group: Group = None

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LevelsCode:
        del mu, previous
        shapes = shapes_of(weights)
        if self.group is None and weighting is None:
            found = _signs_and_scale(weights)
            if found is not None:
                return levels_code(found[0], SIGNS, found[1], weights[0].detach(), None, shapes)
        flat = flatten(weights)
        h = diagonal(self.name, weighting, weights)
        scales = mean_magnitudes(flat, h, runs_of(shapes, self.group))
        digits = nearest_levels(flat, SIGNS, None, shapes, None)
        return levels_code(digits, SIGNS, scales, flat, self.group, shapes)


def mean_magnitudes(flat: Tensor, h: Tensor | None, runs: Runs) -> Tensor:
    """Return every group's mean magnitude, weighted by h (equally where h is all 0): float64."""
    groups = count_of(runs)
    plain, counts, moment, weight = (
        torch.zeros(groups, dtype=torch.float64, device=flat.device) for _ in range(4)
    )
    # sums of the largest float64 numbers would overflow
    shift = 2.0**-64 if flat.dtype == torch.float64 else 1.0
    for where, some in tiles(runs):
        part = flat[some].view(where.stop - where.start, -1).abs().to(torch.float64) * shift
        plain[where] += part.sum(1)
        counts[where] += part.shape[1]
        if h is not None:
            own = h[some].view(part.shape).to(torch.float64)
            moment[where] += (part * own).sum(1)
            weight[where] += own.sum(1)
    mean = plain / counts
    if h is not None:
        mean = torch.where(weight > 0.0, moment / weight, mean)
    return mean / shift


def _signs_and_scale(weights: Tensors) -> tuple[Tensor, Tensor] | None:
    """Return signs (0 or 1, uint8) and mean magnitude of all weights; None where not this simple.

    What is mostly asked for, in one pass and without a copy of the weights. Blocks are summed in
    float32, as BLAS does at once, and their sums in float64: about 1e-8 of the mean is lost, less
    than in rounding it to float32. No sum is finite if a weight is not.
    """
    if not all(w.device.type == "cpu" and w.dtype == torch.float32 for w in weights):
        return None
    size = sum(w.numel() for w in weights)
    digits, start, total = np.empty(size, np.bool_), 0, 0.0
    widest = min(_BLOCK, max((w.numel() for w in weights), default=0))
    ones, buffer = np.ones(widest, np.float32), np.empty(widest, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for weight in weights:
            values = weight.detach().numpy().reshape(-1)
            for first in range(0, len(values), _BLOCK):
                part = values[first : first + _BLOCK]
                many = len(part)
                np.greater_equal(part, 0, out=digits[start : start + many])
                total += float(np.dot(np.abs(part, out=buffer[:many]), ones[:many]))
                start += many
    if size == 0 or not math.isfinite(total):
        return None
    scale = torch.tensor([total / size], dtype=torch.float64)
    return torch.from_numpy(digits.view(np.uint8)), scale

"""Output channels of float32 weights on a CPU, pruned under one threshold: the commonest case.

Most networks have many tensors that are small. For those a few calls a tensor take longer than the
work itself, so they become one vector first. What is pruned is made zero there afterwards, which
leaves the decoded weights at hand.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from autocompress.compression.base import Shapes, Tensors, require_finite
from autocompress.compression.dense import DenseCode
from autocompress.compression.structured import energies
from autocompress.compression.structured.channels import Layout, Mask, Vector
from autocompress.compression.structured.structure_code import StructureCode


def prune(
    weights: Tensors, shapes: Shapes, layout: Layout, count: int, biases: bool
) -> StructureCode | None:
    """Keep the channels of largest energy, as :class:`.StructurePrune` does.

    Args:
        weights: A task's tensors.
        shapes: Their shapes.
        layout: Where their channels are.
        count: How many channels survive, fewer than there are and more than there are rows.
        biases: Whether vectors lose channels too.

    Returns:
        The code. None where the weights are others than those this is for, where it takes double
        precision to tell, or where one is not finite.
    """
    if not all(w.dtype is torch.float32 and w.is_cpu for w in weights):
        return None
    parts = [(w.detach() if w.requires_grad else w).numpy().ravel() for w in weights]
    flat = np.concatenate(parts) if len(parts) > 1 else parts[0]
    groups = energies.strongest(flat, layout, count)
    if groups is None:
        return None
    for position in layout.whole:
        require_finite(weights[position])
    mask = layout.channels(groups)
    index = mask.nonzero()[0]
    cuts = [0, *index.searchsorted(layout.firsts[1:]).tolist(), index.size]
    index -= layout.shifts[mask]
    kept = [index[a:b] for a, b in pairwise(cuts)]
    left = tuple([(k.size, *shape[1:]) for k, shape in zip(kept, shapes, strict=True)])
    inner = DenseCode(torch.from_numpy(_survivors(flat, layout, mask)), left, torch.float32)
    leading = tuple([torch.from_numpy(kept[position]) for position in layout.leading])
    code = StructureCode(leading, inner, shapes, 0, biases)
    if len(weights) == 1:
        return code  # the vector is the weight itself
    for run in layout.runs:
        run.clear(flat, mask)
    places = zip(pairwise([0, *layout.ends]), shapes, strict=True)
    return code.holding(tuple([torch.from_numpy(flat[a:b].reshape(s)) for (a, b), s in places]))


def _survivors(flat: Vector, layout: Layout, mask: Mask) -> Vector:
    """Return the weights of the channels that survive, as one vector."""
    found = [(run, mask[run.first : run.last].nonzero()[0]) for run in layout.runs]
    values = np.empty(sum([index.size * run.width for run, index in found]), np.float32)
    start = 0
    for run, index in found:
        end = start + index.size * run.width
        # all are within: nothing to clip, and nothing to buffer in case one is not
        run.of(flat).take(index, 0, values[start:end].reshape(index.size, run.width), "clip")
        start = end
    return values

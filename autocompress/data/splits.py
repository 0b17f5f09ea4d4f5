"""Fixed, seeded, stratified splitting."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from autocompress.errors import DataError


def stratified(labels: Tensor, fractions: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Divide examples into parts that each have the class proportions of the whole.

    Every class is shuffled and spread evenly over ``[0, 1)``; the examples, ordered by that
    position, are cut into consecutive parts. So the sizes are exact (``round(fraction * n)``) and,
    with classes of similar sizes, each part has within two examples of its due of every class.

    Args:
        labels: int64, ``(n,)``.
        fractions: Sizes of the parts after the first; the first part is what is left.
        seed: Decides the assignment, together with ``labels`` only.

    Returns:
        ``1 + len(fractions)`` tensors of sorted indices, int64: the remainder first, then one for
        each fraction.

    Raises:
        DataError: A part would be empty.
    """
    n = len(labels)
    sizes = [round(fraction * n) for fraction in fractions]
    if n - sum(sizes) < 1 or any(size < 1 for size in sizes):
        raise DataError(
            f"{n} examples are too few to split into parts of {[n - sum(sizes), *sizes]}: "
            "every split needs at least one example"
        )
    ordered = _spread(labels.cpu(), seed)
    parts = torch.tensor_split(ordered, list(accumulate(sizes)))
    return tuple(part.sort().values for part in (parts[-1], *parts[:-1]))


def _spread(labels: Tensor, seed: int) -> Tensor:
    """Order the examples so that any run of them is stratified."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    mixed = labels[shuffled]
    position = torch.empty(len(labels), dtype=torch.float64)
    for label in set(mixed.tolist()):
        members = (mixed == label).nonzero().squeeze(1)
        count = len(members)
        position[members] = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    # a stable sort leaves equal positions in shuffled order
    return shuffled[position.argsort(stable=True)]

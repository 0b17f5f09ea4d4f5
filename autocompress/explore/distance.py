"""How far two plans are from each other: which finished trial is a good start for another.

Layer by layer, two schemes are apart

- 0 if they are the same;
- ``|log2(bits / bits')|`` if they are of one family: pruning to 5 % and to 10 % are about 1 apart;
- that and :data:`FAMILY` if they are not.

Bits are those of the layer's code, told from shapes alone (:meth:`Compression.estimate`); of a task
on several layers, a layer's share by its number of weights. Where the weights decide how many there
are (rank selection, penalties), two schemes of a family count as :data:`FAMILY` apart. The distance
of two plans is the mean over the model's layers, each counting the same: the small first and last
layers are not the least sensitive ones. Layers in no task are dense.

Recipes do not count, and neither do norms: they say how weights are found, not which to look for.
It is a metric but for the unknown bits, and 0 for plans that are equal modulo symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from autocompress.compression import Compression, Dense, to_dict
from autocompress.compression.base import numel, shapes_of
from autocompress.layers import find_layers
from autocompress.plan import Plan

FAMILY = 2.0
"""What another family of schemes counts: as much as four times the bits."""

NEAR = 1.0
"""Plans at most this far apart are near: a factor of two in bits, layer by layer."""


@dataclass(frozen=True)
class Use:
    """What a plan does with one layer.

    Attributes:
        scheme: The scheme's JSON form, as text.
        family: Pruning, codebooks, …; of compositions and sums the families of all parts.
        level: log2 of the layer's bits; None where the weights decide.
    """

    scheme: str
    family: str
    level: float | None


Profile = Mapping[str, Use]
"""What a plan does with every layer, by the name of the layer's weight."""


def profile(plan: Plan, model: nn.Module) -> Profile:
    """Return what a plan does with each linear and convolutional layer of a model."""
    params = dict(model.named_parameters())
    uses = {
        layer.weight: _use(Dense(), (tuple(params[layer.weight].shape),), 1.0)
        for layer in find_layers(model)
    }
    for task in plan.canonical(model).tasks:
        shapes = shapes_of(tuple(params[name] for name in task.params))
        total = sum(map(numel, shapes))
        for name, shape in zip(task.params, shapes, strict=True):
            if name in uses:
                uses[name] = _use(task.compression, shapes, numel(shape) / total)
    return uses


def distance(ours: Profile, theirs: Profile) -> float:
    """Return how far two plans for one model are apart; see the module."""
    if not ours:
        return 0.0
    return math.fsum(_apart(use, theirs[name]) for name, use in ours.items()) / len(ours)


def nearest(ours: Profile, others: Mapping[int, Profile], *, within: float = NEAR) -> int | None:
    """Return the number of the nearest of several plans, the smallest of equally near ones.

    Args:
        ours: The plan to find a neighbour for.
        others: The plans to choose from, by trial number.
        within: The largest distance that is near; None is returned if all are further.
    """
    found = [(distance(ours, other), number) for number, other in others.items()]
    apart, number = min(found, default=(math.inf, -1))
    return number if apart <= within else None


def _apart(ours: Use, theirs: Use) -> float:
    if ours.scheme == theirs.scheme and ours.level == theirs.level:
        return 0.0
    other = ours.family != theirs.family
    if ours.level is None or theirs.level is None:
        return FAMILY
    return abs(ours.level - theirs.level) + FAMILY * other


def _use(scheme: Compression, shapes: tuple[tuple[int, ...], ...], share: float) -> Use:
    outline = scheme.estimate(shapes)
    level = None if outline is None else math.log2(max(outline.bits.value * share, 1.0))
    return Use(str(to_dict(scheme)), _family(scheme), level)


def _family(scheme: Compression) -> str:
    """Return the family: the folder of a scheme of ours, the name of any other."""
    parts = getattr(scheme, "of", None)
    if parts:
        return f"{scheme.name}({', '.join(map(_family, parts))})"
    package, _, rest = type(scheme).__module__.partition(".compression.")
    return rest.partition(".")[0] if package == "autocompress" else scheme.name

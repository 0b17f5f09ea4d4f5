"""Interactions: by how much two compressions cost more together than each by itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from autocompress.data import Data
from autocompress.explore.choosers import Fixed
from autocompress.explore.sensible import Sensible
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.plan import Task
from autocompress.sensitivity.bench import Bench
from autocompress.sensitivity.table import Row, Sensitivity

_NOTICEABLE = 0.05
"""Share of the way to a guess at random that a row of a pair costs at least, if any does."""


@dataclass(frozen=True)
class Pair:
    """Two choices of two groups.

    Attributes:
        first: The one group's row.
        second: The other's.
        loss: Change of the validation loss when both are compressed directly.
    """

    first: Row
    second: Row
    loss: float

    @property
    def interaction(self) -> float:
        """What the additive guess misses: positive where the two make each other worse."""
        return self.loss - (self.first.loss + self.second.loss)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is not finite becomes null."""
        values = {"loss": self.loss, "interaction": self.interaction}
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            **{k: v if math.isfinite(v) else None for k, v in values.items()},
        }


def measure_pairs(
    table: Sensitivity, model: nn.Module, data: Data, space: SearchSpace, *, most: int = 3
) -> list[Pair]:
    """Measure how the most sensitive groups interact, each pair of them once.

    Each group is compressed by its choice that comes nearest to a twentieth of the way to a guess
    at random: enough to be seen, not so much that nothing is left to lose.

    Args:
        table: The sensitivities.
        model: The reference; left untouched.
        data: The data; the same validation examples are used.
        space: The space.
        most: Number of groups, the most sensitive ones.

    Returns:
        The pairs, the strongest interaction first.
    """
    groups = {group.name: group for group in space.groups(find_layers(model))}
    rows = [_telling(table, name) for name in most_sensitive(table)[:most]]
    if len(rows) < 2:
        return []
    bench = Bench(model, data, samples=table.samples)
    tasks: dict[str, list[Task]] = {
        row.group: groups[row.group].sample(Fixed(row.params, Sensible())) for row in rows
    }
    bench.calibrate(tasks.values())
    pairs = []
    for one, other in itertools.combinations(rows, 2):
        found = bench.direct([*tasks[one.group], *tasks[other.group]])
        pairs.append(Pair(one, other, found.loss - table.reference_loss))
    return sorted(pairs, key=lambda pair: -abs(pair.interaction))


def most_sensitive(table: Sensitivity) -> list[str]:
    """Return the groups, those that cost most first: by the mean of their rows' costs.

    A row counts at most as much as a guess at random costs.
    """
    limit = max(table.chance, 1e-9)

    def mean(group: str) -> float:
        costs = [min(row.cost, limit) for row in table.of(group)]
        return sum(costs) / len(costs)

    return sorted(table.groups, key=lambda group: -mean(group))


def _telling(table: Sensitivity, group: str) -> Row:
    wanted = _NOTICEABLE * max(table.chance, 1e-9)
    finite = [row for row in table.of(group) if math.isfinite(row.loss)] or table.of(group)
    return min(finite, key=lambda row: abs(row.loss - wanted))

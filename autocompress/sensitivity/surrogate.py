"""The additive guess: what choices cost together is the sum of what each costs by itself."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from autocompress.errors import ConfigError
from autocompress.explore.choosers import position

if TYPE_CHECKING:
    from autocompress.sensitivity.table import Row

_Numeric = FloatDistribution | IntDistribution


@dataclass(frozen=True)
class _Axis:
    """A numeric parameter and the positions it was measured at, increasing."""

    name: str
    domain: _Numeric
    at: tuple[float, ...]

    def place(self, value: float) -> tuple[int, float]:
        """Return the level at or below a value, and how far it is to the next: 0 to 1."""
        low, high = self.domain.low, self.domain.high
        where = position(min(max(value, low), high), self.domain)
        left = min(bisect_right(self.at, where), len(self.at) - 1) - 1
        if left < 0:
            return 0, 0.0
        share = (where - self.at[left]) / (self.at[left + 1] - self.at[left])
        return left, min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class _Cell:
    """The rows of one option that agree in all choices: a grid of their numbers.

    Attributes:
        chosen: The choices, by parameter name.
        axes: The numbers.
        values: Change of loss and logarithm of the bits at each point of the grid.
    """

    chosen: tuple[tuple[str, Any], ...]
    axes: tuple[_Axis, ...]
    values: Mapping[tuple[int, ...], tuple[float, float]]

    def fits(self, params: Mapping[str, Any]) -> bool:
        return all(params.get(name) == value for name, value in self.chosen)

    def at(self, params: Mapping[str, Any], which: int) -> float:
        """Interpolate linearly in every axis; infinite where a point that counts is."""
        corners: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
        for axis in self.axes:
            if axis.name not in params:
                raise ConfigError(f"the parameter {axis.name!r} is missing")
            level, share = axis.place(params[axis.name])
            ends = [(level, 1.0 - share), (level + 1, share)] if share else [(level, 1.0)]
            corners = [
                ((*point, end), weight * part)
                for point, weight in corners
                for end, part in ends
                if part
            ]
        return sum(self.values[point][which] * weight for point, weight in corners)


class Surrogate:
    """The table prepared for many questions.

    Args:
        rows: The table.
        domains: What each parameter was chosen from.
    """

    def __init__(self, rows: Sequence[Row], domains: Mapping[str, BaseDistribution]) -> None:
        self._rows = rows
        self._domains = domains

    def loss(self, params: Mapping[str, Any]) -> float:
        """Return the change of loss of a candidate."""
        return sum(self._cell(group, params).at(params, 0) for group in self._groups)

    def bits(self, params: Mapping[str, Any]) -> float:
        """Return the bits of a candidate's groups."""
        return sum(math.exp(self._cell(group, params).at(params, 1)) for group in self._groups)

    def parts(self, params: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Return the change of loss and the bits of each group of a candidate."""
        cells = {group: self._cell(group, params) for group in self._groups}
        return {g: (cell.at(params, 0), math.exp(cell.at(params, 1))) for g, cell in cells.items()}

    def _cell(self, group: str, params: Mapping[str, Any]) -> _Cell:
        options = self._groups[group]
        scheme = f"{group}.scheme"
        label = params.get(scheme) if len(options) > 1 else next(iter(options))
        for cell in options.get(label, ()):  # type: ignore[arg-type]
            if cell.fits(params):
                return cell
        raise ConfigError(
            f"{scheme} = {label!r}: the sensitivity of {group!r} is not known for this choice; "
            f"known are {', '.join(map(repr, options))}"
        )

    @cached_property
    def _groups(self) -> dict[str, dict[str, list[_Cell]]]:
        groups: dict[str, dict[str, list[_Cell]]] = {}
        cells: dict[tuple[str, str, tuple[tuple[str, Any], ...]], list[Row]] = {}
        for row in self._rows:
            scheme = f"{row.group}.scheme"
            chosen = tuple(
                (name, value)
                for name, value in row.params.items()
                if name != scheme and not isinstance(self._domains[name], _Numeric)
            )
            cells.setdefault((row.group, row.label, chosen), []).append(row)
        for (group, label, chosen), rows in cells.items():
            cell = self._grid(chosen, rows)
            groups.setdefault(group, {}).setdefault(label, []).append(cell)
        return groups

    def _grid(self, chosen: tuple[tuple[str, Any], ...], rows: Sequence[Row]) -> _Cell:
        axes = []
        for name in rows[0].params:
            domain = self._domains[name]
            if isinstance(domain, _Numeric):
                at = sorted({position(row.params[name], domain) for row in rows})
                axes.append(_Axis(name, domain, tuple(at)))
        values = {}
        for row in rows:
            point = tuple(a.at.index(position(row.params[a.name], a.domain)) for a in axes)
            bits = math.log(row.bits) if row.bits > 0 else 0.0
            values[point] = (row.cost, bits)
        for point in itertools.product(*(range(len(a.at)) for a in axes)):
            values.setdefault(point, (math.inf, math.nan))
        return _Cell(chosen, tuple(axes), values)

"""The sensitivity of a model: what each choice of each group of layers costs by itself."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from optuna.distributions import (
    BaseDistribution,
    distribution_to_json,
    json_to_distribution,
)

from autocompress.errors import ConfigError, unknown
from autocompress.sensitivity.surrogate import Surrogate

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """What one choice of one group does while all other layers stay as they are.

    Attributes:
        group: The group's name.
        label: The option's.
        params: The search space's parameters that give the choice.
        loss: Change of the validation loss under direct compression; infinite where the loss is not
            finite, or there is no solution.
        accuracy: Change of the validation accuracy, a fraction; NaN where there is no solution.
        bits: Bits of the group's parameters, those left uncompressed included.
        loss_after: Change of the validation loss after a few L-C steps; None if not measured.
        accuracy_after: Change of the validation accuracy then.
    """

    group: str
    label: str
    params: dict[str, Any]
    loss: float
    accuracy: float
    bits: float
    loss_after: float | None = None
    accuracy_after: float | None = None

    @property
    def cost(self) -> float:
        """The change of loss to go by: that after some steps, where it was measured."""
        return self.loss if self.loss_after is None else self.loss_after

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is not finite becomes null."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.loss_after is None:
            del values["loss_after"], values["accuracy_after"]
        return {k: v if _sayable(v) else None for k, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form back."""
        lost: dict[str, Any] = {k: math.inf if k.startswith("loss") else math.nan for k in data}
        return cls(**{key: lost[key] if value is None else value for key, value in data.items()})


@dataclass(frozen=True)
class Sensitivity:
    """A table of what each choice costs by itself, and a guess at what choices cost together.

    Attributes:
        rows: One for each pick, see :func:`autocompress.sensitivity.make_picks`.
        domains: What each parameter of the rows was chosen from.
        reference_loss: Validation loss of the uncompressed model on the same examples.
        reference_accuracy: Its accuracy, a fraction.
        rest_bits: Bits of everything that is in no group.
        classes: Number of classes.
        samples: Number of validation examples.
        settings: What it was measured with.
    """

    rows: tuple[Row, ...]
    domains: Mapping[str, BaseDistribution]
    reference_loss: float
    reference_accuracy: float
    rest_bits: float
    classes: int
    samples: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in the model's order."""
        return tuple(dict.fromkeys(row.group for row in self.rows))

    @property
    def chance(self) -> float:
        """How much larger than the reference's the loss of a guess at random is, in nats."""
        return math.log(self.classes) - self.reference_loss

    def of(self, group: str) -> tuple[Row, ...]:
        """Return the rows of a group.

        Raises:
            UnknownName: there is no such group.
        """
        if group not in self.groups:
            raise unknown("group of layers", group, self.groups)
        return tuple(row for row in self.rows if row.group == group)

    def row(self, group: str, params: Mapping[str, Any]) -> Row:
        """Return the row of a group that has these parameters; others' are ignored.

        Raises:
            UnknownName: there is no such group.
            ConfigError: no such choice was measured.
        """
        for row in self.of(group):
            if all(key in params and params[key] == value for key, value in row.params.items()):
                return row
        raise ConfigError(f"sensitivity of {group!r}: no row has the parameters {dict(params)!r}")

    def predict(self, params: Mapping[str, Any]) -> float:
        """Guess the change of loss under direct compression: the sum of the groups' own changes.

        Between levels of the same option it is interpolated.

        Args:
            params: Parameters of a candidate; those of its recipe are ignored.

        Raises:
            ConfigError: the parameters are not those of a candidate of this space.
        """
        return self._surrogate.loss(params)

    def predict_bits(self, params: Mapping[str, Any]) -> float:
        """Guess the bits of a candidate the same way, interpolating their logarithms."""
        return self._surrogate.bits(params) + self.rest_bits

    def parts(self, params: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Return both guesses for each group by itself: change of loss, and bits."""
        return self._surrogate.parts(params)

    @cached_property
    def _surrogate(self) -> Surrogate:
        return Surrogate(self.rows, self.domains)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each pick; its parameters are one column of text."""
        import pandas as pd

        columns = [f.name for f in dataclasses.fields(Row)]
        frame = pd.DataFrame([dataclasses.astuple(row) for row in self.rows], columns=columns)
        frame["params"] = [json.dumps(row.params) for row in self.rows]
        return frame if self.settings.get("steps") else frame.drop(columns=columns[-2:])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "reference_loss": self.reference_loss,
            "reference_accuracy": self.reference_accuracy,
            "rest_bits": self.rest_bits,
            "classes": self.classes,
            "samples": self.samples,
            "settings": dict(self.settings),
            "domains": {k: json.loads(distribution_to_json(d)) for k, d in self.domains.items()},
            "rows": [row.to_dict() for row in self.rows],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form back.

        Raises:
            ValueError, KeyError, TypeError: it is not one.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r} is not {FORMAT}")
        domains = data["domains"].items()
        values = {k: v for k, v in data.items() if k != "format"}
        values["domains"] = {k: json_to_distribution(json.dumps(d)) for k, d in domains}
        values["rows"] = tuple(Row.from_dict(row) for row in data["rows"])
        return cls(**values)


def _sayable(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)

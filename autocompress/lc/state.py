"""The L-C loop's state: an explicit value that can be saved and continued bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autocompress.compression import Code
from autocompress.lc.record import StepRecord
from autocompress.recipe import MuSchedule


@dataclass(frozen=True)
class Best:
    """The compressed model of the best step so far, chosen on validation data.

    Attributes:
        record: That step's record.
        codes: Its codes, by task name.
        rest: Every other entry of the model's state dict at that step.
    """

    record: StepRecord
    codes: dict[str, Code]
    rest: dict[str, Tensor]

    def beaten_by(self, record: StepRecord) -> bool:
        """Whether another step is better: higher validation accuracy, then lower loss."""
        ours, theirs = self.record, record
        return (theirs.val_accuracy, -theirs.val_loss) > (ours.val_accuracy, -ours.val_loss)


@dataclass(frozen=True)
class State:
    """Everything the next step depends on.

    Attributes:
        mu: The mu schedule with its numbers resolved.
        weights: The state dict of w.
        codes: Θ, by task name.
        multipliers: λ, by parameter name; empty with the quadratic penalty.
        best: The best step so far.
        history: Records of all steps so far, direct compression first.
        learner: The learner's own state.
        rng: States of torch's global generators, by device type.
    """

    mu: MuSchedule
    weights: dict[str, Tensor]
    codes: dict[str, Code]
    multipliers: dict[str, Tensor]
    best: Best
    history: tuple[StepRecord, ...]
    learner: dict[str, Tensor]
    rng: dict[str, Tensor]


@dataclass(frozen=True)
class Solution:
    """What the loop returns.

    Attributes:
        status: ``"converged"`` (w and Δ(Θ) met within tolerance), ``"finished"`` (all steps
            done), ``"diverged"`` (loss or weights became NaN or infinite; the best step before
            that is returned) or ``"stopped"`` (``on_step`` asked to).
        best: The chosen step's codes and uncompressed parameters.
        history: Records of all steps.
    """

    status: str
    best: Best
    history: tuple[StepRecord, ...]

"""What is recorded of each L-C step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """One L-C step. ``pandas.DataFrame(history)`` makes a table of a list of them.

    Attributes:
        step: 0 for direct compression, then 1, 2 … for the L-C steps.
        mu: The penalty parameter of the step; 0 at step 0.
        epochs: Epochs of its L step.
        train_loss: Mean loss of w over the L step, without the penalty; at step 0 that of the
            reference on a sample of the training data.
        violation: ‖w − Δ(Θ)‖ / ‖w‖ over the compressed parameters after the C step.
        val_loss: Validation loss of the compressed model Δ(Θ).
        val_accuracy: Its validation accuracy, a fraction.
        bits: Bits of all codes; parameters left uncompressed are not counted.
        seconds: Wall time of the step.
    """

    step: int
    mu: float
    epochs: int
    train_loss: float
    violation: float
    val_loss: float
    val_accuracy: float
    bits: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"step {self.step:3d}  mu {self.mu:8.2e}  train loss {self.train_loss:.4f}  "
            f"|w-Δ|/|w| {self.violation:.4f}  val loss {self.val_loss:.4f}  "
            f"val accuracy {100 * self.val_accuracy:.2f} %  {self.seconds:.1f} s"
        )

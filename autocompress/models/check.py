"""Does a model fit the data? Asked once, up front, instead of deep inside a trial."""

from __future__ import annotations

from torch import Tensor, nn

from autocompress.data import Data
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating


def check(model: nn.Module, data: Data, *, name: str = "") -> None:
    """Check that a model maps inputs of the data to one logit for each of its classes.

    Args:
        model: On the device of ``data``; left as it was.
        data: What it is to work on.
        name: What to call the model in the message.

    Raises:
        ModelError: It fails on such inputs, answers in another shape, or has parameters that are
            NaN or infinite.
    """
    check_on(model, data.example(2), data.classes, name=name)
    for parameter, values in model.named_parameters():
        if not bool(values.isfinite().all()):
            label = name or type(model).__name__
            raise ModelError(f"model {label!r}: its parameter {parameter!r} has NaN or infinity")


def check_on(model: nn.Module, example: Tensor, classes: int, *, name: str = "") -> None:
    """Check that ``model(example)`` has shape ``(len(example), classes)``; see :func:`check`."""
    label = name or type(model).__name__
    shape = tuple(example.shape[1:])
    try:
        with evaluating(model):
            out = model(example)
    except Exception as error:  # whatever a user's forward raises
        raise ModelError(
            f"model {label!r} does not take inputs of shape {shape} (without the batch): "
            f"{type(error).__name__}: {error}"
        ) from error
    expected = (len(example), classes)
    got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if got != expected:
        raise ModelError(
            f"model {label!r} answers a batch of {len(example)} with {got}, expected logits of "
            f"shape {expected} for {classes} classes"
        )

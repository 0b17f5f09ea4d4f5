"""Measuring the sensitivity of a model: one direct compression for each choice of each group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from torch import nn

from autocompress.data import Data
from autocompress.errors import ConfigError
from autocompress.evaluation import Evaluation, Loss
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.sensitivity.bench import Bench, channel_params
from autocompress.sensitivity.levels import Pick, make_picks
from autocompress.sensitivity.table import Row, Sensitivity

SAMPLES = 5000

Progress = Callable[[int, int], object]
"""Called with how many picks are done, and how many there are."""


def measure(
    model: nn.Module,
    data: Data,
    space: SearchSpace,
    *,
    levels: int = 8,
    samples: int = SAMPLES,
    steps: int = 0,
    loss: Loss = F.cross_entropy,
    progress: Progress | None = None,
) -> Sensitivity:
    """Measure what each choice of each group of layers costs by itself.

    Everything else stays as it is. Only training data (for weightings, and for ``steps``) and
    validation data are read. :func:`autocompress.sensitivity.sensitivity` does the same and
    remembers it.

    Args:
        model: The reference; left untouched.
        data: The data.
        space: What may be chosen.
        levels: Positions in each range, see :func:`make_picks`.
        samples: Validation examples used, a fixed choice of them.
        steps: L-C steps, of one short epoch each, after which the loss is measured once more; 0
            for direct compression alone, which takes milliseconds a pick.
        loss: Mean loss.
        progress: Who is told how it goes on.

    Raises:
        ConfigError, SchemeError: the space does not fit the model, or a setting is unusable.
        DataError: there are no validation examples.
        ModelError: what a weighting needs cannot be measured.
    """
    for name, value, least in (("samples", samples, 1), ("steps", steps, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} = {value!r}: accepted is an integer of at least {least}")
    picks = make_picks(space, find_layers(model), levels=levels)
    bench = Bench(model, data, samples=samples, loss=loss)
    bench.calibrate(pick.tasks for pick in picks)
    reference = bench.reference()
    owned = _owned(model, space, picks)
    rows = []
    for i, pick in enumerate(picks):
        rows.append(_row(bench, pick, owned[pick.group], reference, steps))
        bench.forget()
        if progress is not None:
            progress(i + 1, len(picks))
    return Sensitivity(
        rows=tuple(rows),
        domains={name: domain for pick in picks for name, domain in pick.domains.items()},
        reference_loss=reference.loss,
        reference_accuracy=reference.accuracy,
        rest_bits=bench.all_bits() - bench.bits_of({n for names in owned.values() for n in names}),
        classes=data.classes,
        samples=bench.samples,
        settings={"levels": levels, "samples": samples, "steps": steps},
    )


def _row(bench: Bench, pick: Pick, owned: frozenset[str], reference: Evaluation, steps: int) -> Row:
    found = bench.direct(pick.tasks)
    after: dict[str, float] = {}
    if steps:
        trained = bench.after(pick.tasks, steps) if pick.tasks else reference
        change = trained.loss - reference.loss
        after = {
            "loss_after": change if math.isfinite(change) else math.inf,
            "accuracy_after": trained.accuracy - reference.accuracy,
        }
    return Row(
        group=pick.group,
        label=pick.label,
        params=pick.params,
        loss=found.loss - reference.loss,
        accuracy=found.accuracy - reference.accuracy,
        bits=found.bits + bench.bits_of(owned - found.params),
        **after,
    )


def _owned(
    model: nn.Module, space: SearchSpace, picks: Sequence[Pick]
) -> Mapping[str, frozenset[str]]:
    """Return the parameters that each group may change: those whose bits its rows count."""
    layers = find_layers(model)
    weights = {
        group.name: {layer.weight for layer in group.layers} for group in space.groups(layers)
    }
    structured = {
        pick.group for pick in picks if any(task.compression.structured for task in pick.tasks)
    }
    tied = channel_params(model)
    return {
        name: frozenset(own | {n for w in own for n in tied[w] if name in structured})
        for name, own in weights.items()
    }

"""The calibrator: measures what plans need of a model, once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import torch.nn.functional as F
from torch import nn

from autocompress.calibration.measuring import Measuring
from autocompress.calibration.statistics import Statistics
from autocompress.data import Data
from autocompress.data.roots import cache_folder
from autocompress.errors import ConfigError, DataError, unknown
from autocompress.evaluation import Loss
from autocompress.plan import Plan

KINDS = ("fisher", "activations", "covariance")
"""The statistics there are; the weightings of plans have the same names."""

Needs = Plan | Mapping[str, Iterable[str]]


def calibrate(
    model: nn.Module,
    needs: Needs,
    data: Data,
    *,
    samples: int = 2048,
    batch_size: int = 256,
    seed: int = 0,
    loss: Loss = F.cross_entropy,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
) -> Statistics:
    """Measure the statistics of a model that a plan's weightings need.

    On ``data.train`` alone, without augmentation, in evaluation mode; the model and torch's random
    generators are left as they were. Kept by model, data and settings in memory and in a folder,
    where processes measuring the same at once wait for one of them. Memory is bounded: statistics
    are summed batch by batch.

    Args:
        model: The model, on the device of ``data``.
        needs: A plan, or parameter names by kind: ``{"fisher": ["fc1.weight"]}``. Kinds:

            - ``"fisher"``: mean squared gradient of each weight, see
              :mod:`autocompress.calibration.fisher`. Any parameters.
            - ``"activations"``: mean square of each input feature of a layer. Weights of linear and
              convolutional layers; 1 for vectors such as biases.
            - ``"covariance"``: second moment of a layer's inputs. The same, without groups.
        data: Where the training split comes from.
        samples: How many training examples are used, drawn by ``seed``; all, if there are fewer.
        batch_size: Examples a batch.
        seed: Which examples.
        loss: Mean loss that Fisher information is of. One of your own is not cached.
        cache: Folder; None for ``calibration`` in the user's cache folder for autocompress
            (``$AUTOCOMPRESS_CACHE``), False to keep nothing.

    Raises:
        ConfigError: a setting or kind that cannot be used.
        DataError: there is no training example, or one has NaN or infinity.
        PlanError: the plan does not fit the model.
        ModelError: a layer that is never called, called several times for one input, has groups (a
            covariance), is too wide, or whose statistics are not finite; it says what to do.
    """
    for name, value in (("samples", samples), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"calibration: {name} = {value!r} is not an integer of at least 1")
    wanted = _wanted(model, needs, data)
    settings = {"samples": samples, "batch_size": batch_size, "seed": seed}
    if not any(wanted.values()):
        return Statistics({}, settings)
    if len(data.train) == 0:
        raise DataError("calibration needs training examples, and the training split has none")
    folder = None if cache is False else cache_folder("calibration")
    if cache is not None and cache is not False:
        folder = Path(cache)
    measuring = Measuring(model, data, settings, loss, folder)
    values = {kind: measuring.values(kind, names) for kind, names in wanted.items() if names}
    return Statistics(values, settings)


def _wanted(model: nn.Module, needs: Needs, data: Data) -> dict[str, tuple[str, ...]]:
    """Return the parameters to measure, by kind."""
    known = dict(model.named_parameters())
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    if isinstance(needs, Plan):
        tasks = needs.resolve(model).tasks
        if any("norms" in t.compression.needs for t in tasks):
            tasks = needs.resolve(model, data.example()).tasks
        for task in tasks:
            if task.weighting != "identity":
                found[task.weighting] += task.params
    else:
        for kind, names in needs.items():
            if kind not in KINDS:
                raise unknown("statistic", kind, KINDS, where="calibration")
            for name in (names,) if isinstance(names, str) else names:
                if name not in known:
                    raise unknown("parameter", name, known, where=f"calibration.{kind}")
                found[kind].append(name)
    # what vectors are multiplied with is 1
    return {
        kind: tuple(n for n in dict.fromkeys(names) if kind == "fisher" or known[n].dim() > 1)
        for kind, names in found.items()
    }

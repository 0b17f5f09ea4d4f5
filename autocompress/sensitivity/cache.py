"""Sensitivities that are measured once: kept by model, data, layers' choices and settings."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Literal

import torch.nn.functional as F
from torch import nn

from autocompress.calibration.cache import Cache
from autocompress.data import Data
from autocompress.data.roots import cache_folder
from autocompress.errors import AutocompressWarning
from autocompress.evaluation import Loss
from autocompress.explore.space import SearchSpace
from autocompress.jsonform import digest_of
from autocompress.models.identity import model_digest
from autocompress.sensitivity.measure import SAMPLES, Progress, measure
from autocompress.sensitivity.table import Sensitivity
from autocompress.storage.atomic import write_text

_FORMAT = "autocompress-sensitivity/1"  # counts in the key: change it to measure everything again


def sensitivity(
    model: nn.Module,
    data: Data,
    space: SearchSpace,
    *,
    levels: int = 8,
    samples: int = SAMPLES,
    steps: int = 0,
    loss: Loss = F.cross_entropy,
    progress: Progress | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
) -> Sensitivity:
    """Return what each choice of each group of layers costs by itself, measured once.

    Args:
        model: See :func:`autocompress.sensitivity.measure`, as for all but the last.
        data: The data.
        space: What may be chosen; its recipe does not matter.
        levels: Positions in each range.
        samples: Validation examples used.
        steps: L-C steps after which the loss is measured once more.
        loss: Mean loss. One of your own is not cached.
        progress: Who is told how it goes on; nobody is where it is known already.
        cache: Folder; None for ``sensitivity`` in the user's cache folder for autocompress
            (``$AUTOCOMPRESS_CACHE``), False to keep nothing.

    Raises:
        See :func:`autocompress.sensitivity.measure`.
    """

    def now() -> Sensitivity:
        return measure(
            model,
            data,
            space,
            levels=levels,
            samples=samples,
            steps=steps,
            loss=loss,
            progress=progress,
        )

    if cache is False or loss is not F.cross_entropy:
        return now()
    folder = cache_folder("sensitivity") if cache is None else Path(cache)
    settings = {"levels": levels, "samples": samples, "steps": steps}
    layers = space.to_dict()["layers"]
    key = digest_of([_FORMAT, model_digest(model), data.digest, layers, settings])
    path = folder / f"{key}.json"
    found = _read(path)
    if found is None:
        with Cache(folder).lock(key):  # whoever waited here finds it done
            found = _read(path)
            if found is None:
                found = now()
                _write(path, found)
    return found


def _read(path: Path) -> Sensitivity | None:
    if not path.is_file():
        return None
    try:
        return Sensitivity.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(
            f"the sensitivities in {path} cannot be used ({error}): measuring them again",
            AutocompressWarning,
            stacklevel=4,
        )
        return None


def _write(path: Path, table: Sensitivity) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(table.to_dict()))
    except OSError as error:
        warnings.warn(
            f"the sensitivities could not be kept in {path.parent} ({error}): they will be "
            "measured again next time",
            AutocompressWarning,
            stacklevel=4,
        )

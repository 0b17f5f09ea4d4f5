"""Made-up examples in the shape of a named data set: to build a model without the files."""

from __future__ import annotations

import torch

from autocompress.data.build import load_spec
from autocompress.data.dataset import Data, DataSpec
from autocompress.data.own import from_tensors
from autocompress.data.sources import SOURCES
from autocompress.errors import unknown

_EXAMPLES = 32


def stand_in(spec: DataSpec) -> Data:
    """Return a few made-up examples in the shape of a data set, without reading its files.

    Models are built and traced for them just as for the real ones. Accuracies mean nothing. Where
    the files alone tell the shape (``image-folder``), the data set itself is returned.

    Args:
        spec: Which data set; its seed does not matter.

    Returns:
        Standard normal inputs, the same at every call, labels in turn, on the CPU.

    Raises:
        UnknownName: No data set of this name.
        DataError: Its files are needed, and missing.
    """
    if spec.name not in SOURCES:
        raise unknown("data set", spec.name, SOURCES)
    source = SOURCES[spec.name]
    if source.shape is None or source.classes is None:
        return load_spec(spec)
    count = max(_EXAMPLES, source.classes)
    x = torch.randn(count, *source.shape, generator=torch.Generator().manual_seed(0))
    pair = (x, torch.arange(count) % source.classes)
    return from_tensors(train=pair, val=pair, test=pair, classes=source.classes, name=spec.name)

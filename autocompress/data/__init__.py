"""Data sets in fixed train, validation and test splits, on the device or streamed.

:func:`load` reads a named one; :func:`from_tensors` and :func:`from_datasets` take your own;
:meth:`Data.augmented` changes training batches at random.
"""

from autocompress.data.augment import CropFlip, Shift
from autocompress.data.build import load, load_spec
from autocompress.data.dataset import Data, DataSpec
from autocompress.data.own import from_datasets, from_tensors
from autocompress.data.sources import SOURCES
from autocompress.data.split import LoaderSplit, Split, TensorSplit
from autocompress.data.standin import stand_in


def names() -> list[str]:
    """Return the names :func:`load` knows."""
    return sorted(SOURCES)


def describe() -> dict[str, str]:
    """Return one line about each named data set."""
    return {name: source.summary for name, source in sorted(SOURCES.items())}


__all__ = [
    "CropFlip",
    "Data",
    "DataSpec",
    "LoaderSplit",
    "Shift",
    "Split",
    "TensorSplit",
    "describe",
    "from_datasets",
    "from_tensors",
    "load",
    "load_spec",
    "names",
    "stand_in",
]

"""Models by name: the zoo, torchvision's, and your own; untrained or as trained references."""

from autocompress.models.check import check
from autocompress.models.reference import load
from autocompress.models.training import Outcome, Training, train
from autocompress.models.zoo import build, describe, names

__all__ = [
    "Outcome",
    "Training",
    "build",
    "check",
    "describe",
    "load",
    "names",
    "train",
]

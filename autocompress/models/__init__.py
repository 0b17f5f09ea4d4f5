"""Models by name: the zoo, torchvision's, and your own; untrained or as trained references."""

from autocompress.models.reference import load
from autocompress.models.training import Training, evaluate, train
from autocompress.models.zoo import build, check, describe, names

__all__ = ["Training", "build", "check", "describe", "evaluate", "load", "names", "train"]

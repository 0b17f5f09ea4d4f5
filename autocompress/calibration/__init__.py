"""Statistics of a model on training data: the norms that C steps other than the plain one use."""

from autocompress.calibration.calibrate import KINDS, calibrate
from autocompress.calibration.statistics import Statistics

__all__ = ["KINDS", "Statistics", "calibrate"]

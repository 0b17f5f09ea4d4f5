"""What each layer can bear: sensitivities, and candidates made of them before any training."""

from autocompress.sensitivity.levels import Pick, make_picks
from autocompress.sensitivity.measure import measure
from autocompress.sensitivity.table import Row, Sensitivity

__all__ = ["Pick", "Row", "Sensitivity", "make_picks", "measure"]

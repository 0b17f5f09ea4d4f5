"""What each layer can bear: sensitivities, and candidates made of them before any training."""

from autocompress.sensitivity.cache import sensitivity
from autocompress.sensitivity.knapsack import Frontier, Items
from autocompress.sensitivity.levels import Pick, make_picks
from autocompress.sensitivity.measure import measure
from autocompress.sensitivity.seeds import make_seeds, sensitivity_seeds, solve_table, spread
from autocompress.sensitivity.table import Row, Sensitivity

__all__ = [
    "Frontier",
    "Items",
    "Pick",
    "Row",
    "Sensitivity",
    "make_picks",
    "make_seeds",
    "measure",
    "sensitivity",
    "sensitivity_seeds",
    "solve_table",
    "spread",
]

"""The plots, for Python users: ``ac.plots.pareto(front)``. Each returns a matplotlib figure."""

from autocompress.report.curves import hypervolume_curve, mu_curves
from autocompress.report.pareto import draw_pareto, pareto
from autocompress.report.pareto_info import ParetoInfo, pairs, pareto_info
from autocompress.report.style import render

__all__ = [
    "ParetoInfo",
    "draw_pareto",
    "hypervolume_curve",
    "mu_curves",
    "pairs",
    "pareto",
    "pareto_info",
    "render",
]

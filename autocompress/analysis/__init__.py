"""What a study says: the front, queries under a budget, progress. Reads records, runs nothing."""

from autocompress.analysis.front import Front
from autocompress.analysis.progress import Progress, hypervolume_progress
from autocompress.analysis.query import Answer, Limit, best
from autocompress.analysis.units import format_value, parse_quantity

__all__ = [
    "Answer",
    "Front",
    "Limit",
    "Progress",
    "best",
    "format_value",
    "hypervolume_progress",
    "parse_quantity",
]

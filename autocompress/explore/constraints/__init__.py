"""Constraints between the choices of a search space: their language, and who keeps them."""

from autocompress.explore.constraints.checker import Checker, Constraint, parse_constraints

__all__ = ["Checker", "Constraint", "parse_constraints"]

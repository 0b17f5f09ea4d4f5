"""Codebooks: every weight takes one of a few values."""

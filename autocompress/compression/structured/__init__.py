"""Structured pruning: which channels and blocks survive."""

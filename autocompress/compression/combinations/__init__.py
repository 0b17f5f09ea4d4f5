"""Schemes made of schemes: compositions and sums."""

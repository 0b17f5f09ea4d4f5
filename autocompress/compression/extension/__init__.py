"""Schemes of the user's own."""

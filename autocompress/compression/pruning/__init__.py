"""Elementwise pruning: which single weights survive."""

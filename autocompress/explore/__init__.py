"""The search: what to try next, and the study that remembers what was tried."""

"""Entropy coding of packed files; see :mod:`autocompress.storage.entropy.tree`."""

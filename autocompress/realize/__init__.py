"""From codes to a module that is really smaller: thinned channels and factorized layers."""

from autocompress.realize.build import realize

__all__ = ["realize"]

"""The command line: search, resume, report, best, compress, list."""

from autocompress.cli.app import app, main

__all__ = ["app", "main"]

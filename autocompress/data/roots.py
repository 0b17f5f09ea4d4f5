"""Folders of the user: where caches and data sets are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder(kind: str) -> Path:
    """Return where files of a ``kind`` ("references", "data") are kept for this user.

    ``$AUTOCOMPRESS_CACHE/<kind>``, or else in the system's cache folder for autocompress
    (``~/.cache/autocompress/<kind>`` on Linux). Not created here.
    """
    given = os.environ.get("AUTOCOMPRESS_CACHE")
    base = Path(given).expanduser() if given else platformdirs.user_cache_path("autocompress")
    return base / kind


def data_root(root: str | None) -> Path:
    """Return the folder data sets are looked for in: ``root``, ``$AUTOCOMPRESS_DATA``, cache."""
    chosen = root or os.environ.get("AUTOCOMPRESS_DATA")
    return Path(chosen).expanduser() if chosen else cache_folder("data")

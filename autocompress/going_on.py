"""The command line that goes on with a run, to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autocompress.executors.ray.settings import OPTIONS
from autocompress.explore.database import shown

Flag = tuple[str, str]
"""An option of the command line and its value."""


def resume_command(
    run: Path, given: Mapping[str, Any], allow: Iterable[str] = (), more: Iterable[Flag] = ()
) -> str:
    """Return an ``autocompress resume``, quoted for a shell; a database's password is left out.

    Args:
        run: The run's folder.
        given: What the user says, by dotted key; None where nothing is said.
        allow: Code that the user has named.
        more: Further flags; they take the place of those in ``given``.
    """
    flags = [("--allow", name) for name in allow]
    for key, value in given.items():
        known = not key.startswith("ray.") or key.removeprefix("ray.") in OPTIONS
        if value is not None and known:
            text = shown(value) if key == "storage" else str(value)
            flags.append((f"--{key.removeprefix('ray.').replace('_', '-')}", text))
    more = list(more)
    replaced = {name for name, _ in more} - {"--allow"}
    flags = [flag for flag in flags if flag[0] not in replaced] + more
    words = (word for flag in dict.fromkeys(flags) for word in flag)
    return shlex.join(["autocompress", "resume", str(run), *words])

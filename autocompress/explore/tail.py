"""The end of a trial's log: what is left to tell of one whose process died."""

from __future__ import annotations

import re
from pathlib import Path

_BYTES = 16_384
_LENGTH = 160
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")
_STACK = "(most recent call first)"
_FATAL = "Fatal Python error: "
_FRAME = re.compile(r'\s*File "(.*)", line (\d+) in (\S+)')


def tail(log: Path, lines: int = 12) -> list[str]:
    """Return the last lines of a log that are not blank; none where there is no log."""
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def last_words(log: Path) -> str:
    """Return the end of a log in a few words: where the process stood when it died, if known.

    A worker that is ended by a signal writes its stack first (:mod:`faulthandler`). Without one it
    is the last line, without the time it begins with.
    """
    lines = tail(log, lines=200)
    stamped = [row for row, line in enumerate(lines) if _STAMP.match(line)]
    after = lines[stamped[-1] + 1 :] if stamped else lines
    stack = [row for row, line in enumerate(after) if _STACK in line]
    if stack:
        fatal = [line.removeprefix(_FATAL) for line in after if line.startswith(_FATAL)]
        frame = next(filter(None, map(_FRAME.match, after[stack[-1] :])), None)
        if frame is not None:
            path, line, function = frame.groups()
            told = [*fatal[-1:], f"in {function}, {Path(path).name} line {line}"]
            return " ".join(told)[:_LENGTH]
    return _STAMP.sub("", lines[-1]).strip()[:_LENGTH] if lines else ""


def with_last_words(message: str, folder: Path, name: str = "log.txt") -> str:
    """Return what became of a trial, and how its log in a folder ends."""
    words = last_words(folder / name)
    return f"{message}; its log ends: {words}" if words else message

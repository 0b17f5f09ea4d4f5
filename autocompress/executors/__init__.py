"""Where trials run: worker processes on this machine, this process itself, or a Ray cluster.

Names are imported when they are first used: a worker of a cluster needs none of them to come up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autocompress.executors.base import DoneEvent, Event, Executor, StepEvent

__all__ = ["DoneEvent", "Event", "Executor", "StepEvent"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autocompress.executors import base

    return getattr(base, name)

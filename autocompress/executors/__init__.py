"""Where trials run: worker processes on this machine, or this process itself."""

from autocompress.executors.base import DoneEvent, Event, Executor, StepEvent

__all__ = ["DoneEvent", "Event", "Executor", "StepEvent"]

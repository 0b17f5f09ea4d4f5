"""Worker processes that never run the user's script again.

Python's ``spawn`` imports the parent's ``__main__`` in every child. A script that calls
``autocompress.search(...)`` at its top level would then start a sweep in every worker of the sweep.
Our workers need nothing of ``__main__`` (what is defined there is sent by value), so it is left
out of what a child is told to prepare.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from autocompress.executors.environment import environment

_LAUNCHING = threading.RLock()
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class WorkerProcess(SpawnProcess):
    """A spawned process that leaves the parent's ``__main__`` alone.

    Attributes:
        threads: Threads the numerical libraries of the child may use; they read it from the
            environment when first imported, which is before any code of ours runs there.
    """

    threads = 1

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # multiprocessing's hook
        threads = dict.fromkeys(_THREAD_VARIABLES, str(process_obj.threads))
        with _LAUNCHING, _main_left_out(), environment(threads), _sigint_blocked():
            return SpawnProcess._Popen(process_obj)


class WorkerContext(SpawnContext):
    """The multiprocessing context of our workers.

    Args:
        threads: Threads of the numerical libraries in each of them.
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads = threads

    def Process(self, *args: Any, **kwargs: Any) -> WorkerProcess:  # type: ignore[override]
        """Make a process; multiprocessing and pebble call this."""
        process = WorkerProcess(*args, **kwargs)
        process.threads = self.threads
        return process


@contextmanager
def _main_left_out() -> Iterator[None]:
    original = spawn.get_preparation_data
    me = threading.get_ident()

    def without_main(name: str) -> dict[str, Any]:
        data = original(name)
        if threading.get_ident() == me:  # another thread may be launching its own processes
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        spawn.get_preparation_data = original


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Start children deaf to Ctrl-C: the driver ends them itself, they print no tracebacks."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

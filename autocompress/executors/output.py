"""Where a trial's output goes, in whatever process it runs."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def output_to(
    log: Path, *, on_term: bool = False, afterwards: TextIO | None = None
) -> Iterator[None]:
    """Send what the model prints or warns of to the trial's log, not over the driver's display.

    Should this process be ended by a signal meanwhile, the log says where it stood.

    Args:
        log: The trial's log; what is there already stays.
        on_term: Whether SIGTERM counts, by which a job that hangs is ended.
        afterwards: Who is told of fatal signals afterwards; None for nobody.
    """
    with (
        open(log, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        faulthandler.enable(file, all_threads=False)
        registers = on_term and hasattr(faulthandler, "register")  # not on Windows
        if registers:
            faulthandler.register(signal.SIGTERM, file, all_threads=False, chain=True)
        try:
            yield
        finally:
            faulthandler.disable()
            if registers:
                faulthandler.unregister(signal.SIGTERM)
            if afterwards is not None:
                faulthandler.enable(afterwards, all_threads=False)

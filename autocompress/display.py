"""A sweep on the terminal: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autocompress.analysis import Front
from autocompress.analysis.units import quantity
from autocompress.explore.record import TrialRecord
from autocompress.lc import StepRecord
from autocompress.observer import Observer, Tally
from autocompress.summaries import duration, outcome, show_front, values

_COLOURS = {
    "complete": "green",
    "pruned": "yellow",
    "infeasible": "yellow",
    "failed": "red",
    "duplicate": "dim",
}


def observer(console: Console, *, quiet: bool = False) -> PlainDisplay:
    """Return what shows a sweep on this console: live on a terminal, else line by line."""
    if quiet:
        return PlainDisplay(Console(quiet=True))
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay(Observer):
    """One line for everything that ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tally: Tally | None = None

    def line(self, text: str) -> None:
        """Print one line, whatever its length."""
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def phase(self, text: str) -> None:
        self.line(text)

    def training(self, epoch: int, epochs: int, accuracy: float) -> None:
        if epoch == epochs or epoch % max(1, epochs // 4) == 0:
            self.line(f"  epoch {epoch}/{epochs}, validation accuracy {100 * accuracy:.2f} %")

    def begin(self, title: str, folder: Path, tally: Tally) -> None:
        self.tally = tally
        self.line(f"{title} -> {folder}")

    def ended(self, record: TrialRecord) -> None:
        tally = self.tally
        assert tally is not None
        left = tally.seconds_left
        parts = [
            f"[{tally.spent}/{tally.total}] trial {record.number} {self.outcome(record)}",
            f"front {len(tally.front)}, hypervolume {tally.hypervolume:.4g}",
        ]
        if left is not None and tally.spent < tally.total:
            parts.append(f"about {duration(left)} left")
        self.line("; ".join(parts))

    def outcome(self, record: TrialRecord) -> str:
        """Write how a trial ended."""
        assert self.tally is not None
        return outcome(record, self.tally.objectives)

    def finished(self, front: Front, notes: Sequence[str]) -> None:
        show_front(self.console, front)
        for note in notes:
            self.line(note)


@dataclass
class _Running:
    """A trial on the live display."""

    plan: str
    steps: int
    began: float
    last: StepRecord | None = None


class LiveDisplay(PlainDisplay):
    """A few lines at the bottom of the terminal, redrawn as things happen."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._title = ""
        self._running: dict[int, _Running] = {}
        self._epochs = ""
        self._phase = ""
        self._live: Live | None = None

    def _start(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self.console,
                get_renderable=self.render,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def phase(self, text: str) -> None:
        self._phase, self._epochs = text, ""
        self._start()

    def training(self, epoch: int, epochs: int, accuracy: float) -> None:
        self._epochs = f"epoch {epoch}/{epochs}, validation accuracy {100 * accuracy:.2f} %"

    def begin(self, title: str, folder: Path, tally: Tally) -> None:
        self.tally = tally
        self._phase = ""
        self.line(f"{title} -> {folder}")
        self._start()

    def started(self, number: int, steps: int, plan: str) -> None:
        self._running[number] = _Running(plan, steps, time.monotonic())

    def step(self, number: int, record: StepRecord) -> None:
        if number in self._running:
            self._running[number].last = record

    def ended(self, record: TrialRecord) -> None:
        self._running.pop(record.number, None)
        if record.status.failed:
            self.line(f"trial {record.number} {self.outcome(record)}")

    def end(self) -> None:
        self._running.clear()
        self._phase = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def finished(self, front: Front, notes: Sequence[str]) -> None:
        self.end()
        super().finished(front, notes)

    def render(self) -> RenderableType:
        """Draw the display as it is now."""
        rows: list[RenderableType] = []
        if self.tally is not None:
            rows += [self._bar(self.tally), *_standing(self.tally)]
            rows += [self._trial(number, trial) for number, trial in self._running.items()]
        if self._phase:
            rows.append(Text(f"{self._phase} {self._epochs}".rstrip() + " …", style="cyan"))
        return Group(*rows)

    def _bar(self, tally: Tally) -> RenderableType:
        counts = Text("  ").join(
            Text(f"{count} {name}", style=_COLOURS[name])
            for name, count in tally.counts().items()
            if count or name in ("complete", "pruned", "failed")
        )
        left = tally.seconds_left
        times = f"{duration(tally.elapsed)} elapsed"
        times += f", {duration(left)} left" if left is not None else ""
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=tally.total, completed=min(tally.spent, tally.total), width=24)
        grid.add_row("trials", bar, f"{tally.spent}/{tally.total}", counts, Text(times, "dim"))
        return grid

    def _trial(self, number: int, trial: _Running) -> RenderableType:
        step = trial.last.step if trial.last is not None else 0
        grid = Table.grid(padding=(0, 2))
        text = f"step {step}/{trial.steps}"
        if trial.last is not None:
            text += f"  validation accuracy {100 * trial.last.val_accuracy:.1f} %"
        seconds = duration(time.monotonic() - trial.began)
        bar = ProgressBar(total=max(1, trial.steps), completed=step, width=12)
        grid.add_row(f"trial {number:>4}", bar, text, seconds, Text(trial.plan, "dim"))
        return grid


def _standing(tally: Tally) -> list[RenderableType]:
    """The front so far, and the best of each objective."""
    rows: list[RenderableType] = [
        Text(f"front   {len(tally.front)} trials, hypervolume {tally.hypervolume:.4g}")
    ]
    for metric, record in tally.best():
        rows.append(Text(f"best    {quantity(metric).label}: {values(record, tally.objectives)}"))
    return rows

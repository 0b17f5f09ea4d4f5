"""What stopping trials early has saved."""

from __future__ import annotations

from collections.abc import Iterable

from autocompress.explore.record import Status, TrialRecord


def saved(records: Iterable[TrialRecord]) -> tuple[int, int, int]:
    """Return how many trials were stopped, epochs done by all trials, and epochs thus saved.

    The steps left out count as many epochs as those that were done, on average.
    """
    stopped = done = left_out = 0
    for record in records:
        done += record.epochs
        steps = len(record.course) - 1
        if record.status is not Status.PRUNED or steps < 0 or record.candidate is None:
            continue
        recipe = record.candidate["recipe"]
        told = recipe["epochs_per_step"]
        each = record.epochs / steps if steps else 1 if told == "auto" else told
        stopped += 1
        left_out += round((recipe["mu"]["steps"] - steps) * each)
    return stopped, done, left_out


def saved_text(records: Iterable[TrialRecord]) -> str:
    """Return what halving saved as a sentence; empty if it stopped no trial."""
    stopped, done, left_out = saved(records)
    if not stopped:
        return ""
    return (
        f"halving stopped {stopped} trials and saved {left_out} of {done + left_out} epochs "
        f"({100 * left_out / max(1, done + left_out):.0f} %)"
    )

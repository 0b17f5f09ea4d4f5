import io
import re

import pytest
from rich.console import Console

from autocompress.display import LiveDisplay, PlainDisplay, observer
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.lc import StepRecord
from autocompress.observer import FREE_IN_A_ROW, Tally
from autocompress.summaries import duration, show_front

OBJECTIVES = Objectives(
    "toy",
    (
        Objective("accuracy", "maximize", worst=0.1),
        Objective("bytes", "minimize", scale="log", worst=1e5),
    ),
)
CANDIDATE = {"tasks": [{"name": "fc", "compression": {"scheme": "prune", "density": 0.1}}]}


def record(number, accuracy=0.9, size=2e4, status=Status.COMPLETE, ran=True, message=""):
    metrics = {"accuracy": accuracy, "bytes": size} if status is Status.COMPLETE else {}
    folder = f"trials/{number:04d}" if ran else None
    return TrialRecord(
        number, status, CANDIDATE, metrics, seconds=1.5, message=message, folder=folder
    )


@pytest.fixture
def tally():
    return Tally(OBJECTIVES, total=4)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=110, _environ={})


def text(console):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_a_tally_counts_outcomes_and_what_they_cost(tally):
    tally.add(record(0))
    tally.add(record(1, 0.95, 3e4))
    tally.add(record(2, 0.8, 4e4))
    tally.add(record(3, status=Status.TIMEOUT))
    tally.add(record(4, ran=False))
    tally.add(record(5, status=Status.INFEASIBLE, ran=False))
    assert tally.counts() == {
        "complete": 3,
        "pruned": 0,
        "infeasible": 1,
        "failed": 1,
        "duplicate": 1,
    }
    assert tally.spent == 3  # a failure is no use of the budget
    assert [r.number for r in tally.front] == [1, 0]
    assert tally.hypervolume == tally.front.hypervolume()
    assert [(name, r.number) for name, r in tally.best()] == [("accuracy", 1), ("bytes", 0)]


def test_trials_that_cost_nothing_count_once_there_are_too_many_in_a_row(tally):
    for number in range(FREE_IN_A_ROW):
        tally.add(record(number, ran=False))
    assert tally.spent == 0
    tally.add(record(FREE_IN_A_ROW, ran=False))
    assert tally.spent == 1


def test_a_tally_goes_on_where_an_earlier_session_stopped(tally):
    before = [record(2, ran=False), record(0), record(1, 0.95, 3e4)]
    again = Tally(OBJECTIVES, 4, before)
    assert again.spent == 2
    assert again.seconds_left is None
    assert len(again.front) == 2
    again.add(record(3))
    assert again.seconds_left is not None


def test_without_a_terminal_there_is_one_line_for_each_end(tally, tmp_path):
    out = console(terminal=False)
    display = observer(out)
    assert type(display) is PlainDisplay
    display.phase("training the reference")
    display.training(40, 40, 0.98)
    display.begin("toy on digits", tmp_path, tally)
    tally.add(record(0))
    display.ended(tally.records[-1])
    tally.add(record(1, status=Status.CRASHED, message="its worker died"))
    display.ended(tally.records[-1])
    display.finished(tally.front, ["report: here"])
    lines = text(out).splitlines()
    assert lines[0] == "training the reference"
    assert "98.00 %" in lines[1]
    assert lines[2] == f"toy on digits -> {tmp_path}"
    assert lines[3].startswith("[1/4] trial 0 complete: accuracy 90.00 %")
    assert "hypervolume" in lines[3]
    assert "left" in lines[3]
    assert lines[4].startswith("[1/4] trial 1 crashed: its worker died (1.5 s)")
    assert lines[-1] == "report: here"
    assert "\x1b" not in out.file.getvalue()


def test_the_live_display_shows_counts_best_hypervolume_time_left_and_each_worker(tally, tmp_path):
    out = console(terminal=True)
    display = observer(out)
    assert isinstance(display, LiveDisplay)
    display.begin("toy on digits", tmp_path, tally)
    tally.add(record(0))
    display.started(1, 20, "2 prune")
    display.step(1, StepRecord(7, 0.1, 1, 0.5, 0.1, 0.4, 0.875, 100, 0.2))
    tally.add(record(2, status=Status.DIVERGED, message="NaN"))
    display.ended(tally.records[-1])
    with out.capture() as shown:
        out.print(display.render())
    display.end()
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.get())
    for words in (
        "1/4",
        "1 complete",
        "0 pruned",
        "1 failed",
        "left",
        "front   1 trials, hypervolume",
        "accuracy 90.00 %",
        "step 7/20",
        "87.5 %",
        "2 prune",
    ):
        assert words in seen
    assert "trial 2 diverged: NaN" in text(out)


def test_quiet_shows_nothing(tally, tmp_path):
    display = observer(console(terminal=True), quiet=True)
    display.phase("x")
    display.begin("x", tmp_path, tally)
    display.finished(tally.front, ["x"])
    display.end()


def test_a_front_is_a_table_with_the_reference(tally):
    tally.add(record(0))
    out = console(terminal=False)
    show_front(out, tally.front)
    assert "1 of 1 trials" in text(out)
    assert "20.0 KB" in text(out)
    assert "1 prune" in text(out)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3.4, "3 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3723, "1:02:03 h")],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected

import json

import pytest

from autocompress.analysis.onesided import Goal, answer
from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.record import Status
from autocompress.metrics import METRICS
from tests.analysis.records import ACCURACY_SIZE, record

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}
GOAL = Goal.parse("accuracy>=ref-0.5%", "bytes")


def ran(number, accuracy=0.9, size=1e4, **more):
    return record(number, accuracy, size, **{"seconds": 1.0, "origin": "target"} | more)


TRIALS = [
    ran(0, 0.979, 60e3),
    ran(1, 0.960, 8e3),
    ran(2, 0.976, 12e3),
    ran(3, 0.976, 11e3, seconds=0.0),  # the same as another: not run
    ran(4, 0.970, 9e3),
    ran(5, 0.999, 10, status=Status.PRUNED),
]


def test_the_smallest_trial_that_reaches_the_target_and_how_many_samples_it_took():
    found = answer(reversed(TRIALS), ACCURACY_SIZE, GOAL, REFERENCE)
    assert found
    assert found.record.number == 3
    assert (found.samples, found.needed) == (5, 3)
    assert found.bound == pytest.approx(0.975)
    first, second = found.reason.splitlines()
    assert first == (
        "smallest bytes with accuracy >= 97.50 % (ref-0.5%, the reference has 98.00 %): 11.0 KB, "
        "trial 3, accuracy 97.60 %"
    )
    assert second.startswith("found with 3 samples of 5; the reference has bytes 1.00 MB, 90.9×")


def test_the_answer_can_be_written_down():
    data = json.loads(json.dumps(answer(TRIALS, ACCURACY_SIZE, GOAL, REFERENCE).to_dict()))
    assert data["found"] is True
    assert data["trial"] == 3
    assert data["samples"] == 5
    assert data["bound"] == pytest.approx(0.975)


def test_a_target_nothing_reaches_names_the_nearest_and_what_is_missing():
    found = answer(TRIALS, ACCURACY_SIZE, Goal.parse("accuracy>=ref"), REFERENCE)
    assert not found
    assert found.nearest.number == 0
    assert found.shortfall == pytest.approx(0.001)
    assert found.needed == 0
    assert "no trial of 5 samples has accuracy >= 98.00 %" in found.reason
    assert "what binds is accuracy >= 98.00 %: nearest is trial 0" in found.reason
    assert "bytes 60.0 KB, 0.10 points short of it" in found.reason
    assert found.to_dict()["trial"] == 0


def test_hard_limits_that_bind_are_named():
    over = "bytes 60.0 KB is above 20.0 KB"
    trials = [
        ran(0, 0.979, 60e3, status=Status.INFEASIBLE, message=over),
        ran(1, 0.96, 8e3),
    ]
    found = answer(trials, ACCURACY_SIZE, GOAL, REFERENCE)
    assert found.nearest.number == 1
    assert "what binds is accuracy >= 97.50 %: nearest is trial 1" in found.reason
    assert f"a hard limit binds: trial 0 reaches the target, and {over}" in found.reason
    only = answer(trials[:1], ACCURACY_SIZE, GOAL, REFERENCE)
    assert only.nearest.number == 0
    assert only.shortfall == 0
    assert "a hard limit binds" in only.reason


def test_nothing_yet():
    found = answer([], ACCURACY_SIZE, GOAL, REFERENCE)
    assert not found
    assert "no trial of 0 samples" in found.reason
    assert found.to_dict()["trial"] is None


def test_other_metrics():
    trials = [
        ran(0, metrics={"accuracy": 0.9, "bytes": 10.0, "flops": 5.0, "loss": 0.2}),
        ran(1, metrics={"accuracy": 0.9, "bytes": 20.0, "flops": 4.0, "loss": 0.21}),
        ran(2, metrics={"accuracy": 0.9, "bytes": 20.0, "flops": 3.0, "loss": 0.5}),
    ]
    found = answer(trials, ACCURACY_SIZE, Goal.parse("loss<=ref*1.1", "flops"), {"loss": 0.2})
    assert found.record.number == 1


@pytest.mark.parametrize(
    ("target", "minimize", "message"),
    [
        ("acuracy>=0.9", "bytes", "target: unknown metric 'acuracy': did you mean 'accuracy'"),
        ("accuracy>=0.9", "byts", "minimize: unknown metric 'byts'"),
        ("accuracy>=0.9", "loss", r"minimize = 'loss': accepted is .* known before any training"),
        ("accuracy>=0.9", "ratio", "minimize = 'ratio': accepted is"),
        ("flops<=1M", "bytes", r"this is a limit: give it as limits\.flops"),
        ("accuracy<=0.9", "bytes", r"accuracy is to maximize: accepted is accuracy>="),
    ],
)
def test_goals_that_make_no_sense_are_refused(target, minimize, message):
    with pytest.raises(ConfigError, match=message):
        Goal.parse(target, minimize).check(METRICS)


def test_a_bound_needs_the_reference():
    with pytest.raises(UnknownName, match="latency"):
        answer([], ACCURACY_SIZE, Goal.parse("latency<=ref/2"), REFERENCE)

import math

import pytest

from autocompress.analysis import Limit, best
from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.record import Status
from tests.analysis.records import ACCURACY_SIZE, record

TRIALS = [
    record(0, 0.981, 900e3),
    record(1, 0.975, 60e3),
    record(2, 0.972, 30e3),
    record(3, 0.968, 18e3),
    record(4, 0.90, 9e3),
    record(5, 0.999, 100, status=Status.PRUNED),
    record(6, metrics={"accuracy": math.nan, "bytes": 10.0}),
    record(7, metrics={"bytes": 1.0}),
]


def test_a_size_budget_gives_the_most_accurate_and_an_accuracy_the_smallest():
    assert best(TRIALS, ACCURACY_SIZE, {"bytes": ("<=", "20KB")}).record.number == 3
    assert best(TRIALS, ACCURACY_SIZE, {"accuracy": (">=", 0.97)}).record.number == 2
    assert best(TRIALS, ACCURACY_SIZE, {"accuracy": ("min", "97%")}).record.number == 2


def test_with_every_objective_limited_the_first_decides_unless_told_otherwise():
    limits = {"bytes": ("max", "100 KB"), "accuracy": (">=", 0.9)}
    assert best(TRIALS, ACCURACY_SIZE, limits).record.number == 1
    assert best(TRIALS, ACCURACY_SIZE, limits, by="bytes").record.number == 4


def test_without_limits_the_first_objective_decides():
    answer = best(TRIALS, ACCURACY_SIZE)
    assert answer.record.number == 0
    assert "accuracy" in answer.reason


def test_ties_go_to_the_other_objectives_then_the_number():
    tied = [record(0, 0.9, 300), record(2, 0.9, 200), record(1, 0.9, 200)]
    assert best(tied, ACCURACY_SIZE).record.number == 1


def test_limits_are_inclusive():
    assert best(TRIALS, ACCURACY_SIZE, [Limit("bytes", "<=", 9e3)]).record.number == 4


def test_a_range_is_two_limits_on_one_metric():
    limits = [Limit("bytes", ">=", 20e3), Limit("bytes", "<=", 40e3)]
    assert best(TRIALS, ACCURACY_SIZE, limits).record.number == 2


def test_conflicting_limits_name_the_nearest_trial_to_each():
    answer = best(TRIALS, ACCURACY_SIZE, {"bytes": ("<=", "20KB"), "accuracy": (">=", 0.97)})
    assert not answer
    assert answer.record is None
    assert {name: r.number for name, r in answer.nearest.items()} == {"bytes": 2, "accuracy": 3}
    assert "what binds is bytes <= 20.0 KB" in answer.reason
    assert "trial 2 with 30.0 KB" in answer.reason
    assert "trial 3 with 96.80 %" in answer.reason


def test_a_limit_no_trial_keeps_is_the_one_to_blame():
    answer = best(TRIALS, ACCURACY_SIZE, {"bytes": ("<=", "50KB"), "accuracy": (">=", 0.99)})
    assert list(answer.nearest) == ["accuracy"]
    assert "no trial keeps accuracy >= 99.00 %" in answer.reason
    assert answer.nearest["accuracy"].number == 2  # nearest among those of at most 50 KB


def test_three_limits_that_only_conflict_together():
    trials = [
        record(0, metrics={"accuracy": 0.9, "bytes": 10.0, "latency": 9.0}),
        record(1, metrics={"accuracy": 0.1, "bytes": 99.0, "latency": 1.0}),
    ]
    limits = {"accuracy": (">=", 0.5), "bytes": ("<=", 50), "latency": ("<=", 2)}
    answer = best(trials, ACCURACY_SIZE, limits)
    assert list(answer.nearest) == ["latency"]  # giving up latency alone is enough, for trial 0
    conflict = [*trials[:1], record(2, metrics={"accuracy": 0.9, "bytes": 99.0, "latency": 9.0})]
    assert "latency" in best(conflict, ACCURACY_SIZE, limits).reason


def test_no_single_limit_to_blame():
    trials = [
        record(0, metrics={"accuracy": 0.9, "bytes": 99.0, "latency": 9.0}),
        record(1, metrics={"accuracy": 0.1, "bytes": 10.0, "latency": 9.0}),
        record(2, metrics={"accuracy": 0.1, "bytes": 99.0, "latency": 1.0}),
    ]
    limits = {"accuracy": (">=", 0.5), "bytes": ("<=", 50), "latency": ("<=", 2)}
    answer = best(trials, ACCURACY_SIZE, limits)
    assert answer.nearest == {}
    assert "giving up any one" in answer.reason


def test_hard_limits_of_the_sweep_hold_too():
    limited = ACCURACY_SIZE.with_limits({"bytes": 50e3})
    assert best(TRIALS, limited, {"accuracy": (">=", 0.9)}, by="accuracy").record.number == 2


def test_nothing_measured_says_so():
    assert best([], ACCURACY_SIZE).reason == "no trial is complete yet"
    assert "has every metric" in best([TRIALS[6]], ACCURACY_SIZE).reason


def test_misuse_is_told_clearly():
    with pytest.raises(UnknownName, match="did you mean 'bytes'"):
        best(TRIALS, ACCURACY_SIZE, {"byts": ("<=", 3)})
    with pytest.raises(ConfigError, match="neither '<=' nor '>='"):
        best(TRIALS, ACCURACY_SIZE, {"bytes": ("<", 3)})
    with pytest.raises(ConfigError, match=r"limits\.bytes"):
        best(TRIALS, ACCURACY_SIZE, {"bytes": ("<=", "many")})
    with pytest.raises(UnknownName, match="by: unknown metric 'loss'"):
        best(TRIALS, ACCURACY_SIZE, by="loss")


def test_limits_may_be_relative_to_the_reference():
    reference = {"accuracy": 0.98, "bytes": 1e6}
    near = best(TRIALS, ACCURACY_SIZE, {"accuracy": (">=", "ref-1%")}, reference=reference)
    assert near.record.number == 2
    small = best(TRIALS, ACCURACY_SIZE, {"bytes": ("<=", "ref/20")}, reference=reference)
    assert small.record.number == 2
    with pytest.raises(UnknownName, match=r"limits.accuracy.*reference"):
        best(TRIALS, ACCURACY_SIZE, {"accuracy": (">=", "ref-1%")})


def test_any_measured_metric_may_decide():
    trials = [
        record(0, metrics={"accuracy": 0.9, "bytes": 100.0, "flops": 30.0}),
        record(1, metrics={"accuracy": 0.8, "bytes": 300.0, "flops": 10.0}),
        record(2, metrics={"accuracy": 0.8, "bytes": 200.0, "flops": 10.0}),
        record(3, metrics={"accuracy": 0.95, "bytes": 200.0}),
    ]
    answer = best(trials, ACCURACY_SIZE, by="flops")
    assert answer.record.number == 2
    assert "best flops" in answer.reason
    with pytest.raises(UnknownName, match=r"by: unknown metric 'latency'"):
        best(trials, ACCURACY_SIZE, by="latency")

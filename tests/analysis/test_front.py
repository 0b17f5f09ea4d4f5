import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.analysis import Front
from autocompress.errors import ConfigError
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from tests.analysis.records import ACCURACY_SIZE, record

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}


def front_of(*records, objectives=ACCURACY_SIZE):
    return Front.from_records(records, objectives, REFERENCE)


def numbers(front):
    return [item.number for item in front]


def test_the_front_is_sorted_by_its_first_objective():
    front = front_of(record(0, 0.90, 1e3), record(1, 0.98, 1e5), record(2, 0.95, 1e4))
    assert numbers(front) == [1, 2, 0]
    assert len(front) == 3
    assert front.left_out == {}


def test_a_front_is_described_in_a_line():
    front = front_of(record(0, 0.90, 1e3), record(1, 0.98, 1e5), record(2, 0.97, 2e5))
    assert repr(front) == "Front(accuracy-size: 1, 0, of 3 trials)"
    assert repr(front_of()) == "Front(accuracy-size: none, of 0 trials)"


def test_dominated_trials_say_by_whom():
    front = front_of(record(0, 0.95, 1e4), record(1, 0.94, 2e4), record(2, 0.99, 5e4))
    assert numbers(front) == [2, 0]
    assert front.left_out == {1: "dominated by trial 0"}


def test_of_equal_trials_the_smallest_number_is_kept_in_any_order():
    twins = [record(7, 0.95, 1e4), record(3, 0.95, 1e4)]
    for given_order in (twins, twins[::-1]):
        front = front_of(*given_order)
        assert numbers(front) == [3]
        assert front.left_out == {7: "same objectives as trial 3"}


def test_only_complete_trials_are_ranked_and_the_others_say_why():
    front = front_of(
        record(0, 0.5, 1e5),
        record(1, 0.99, 1, status=Status.PRUNED),
        record(2, 0.99, 1, status=Status.CRASHED, message="killed by signal 9"),
        record(3, 0.99, 1, status=Status.RUNNING),
        record(4, status=Status.WAITING, metrics={}),
    )
    assert numbers(front) == [0]
    assert front.left_out == {
        1: "pruned",
        2: "crashed: killed by signal 9",
        3: "running",
        4: "waiting",
    }


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"accuracy": 0.99}, "missing bytes"),
        ({"bytes": 10.0}, "missing accuracy"),
        ({"accuracy": math.nan, "bytes": 10.0}, "non-finite accuracy: nan"),
        ({"accuracy": 0.99, "bytes": -math.inf}, "non-finite bytes: -inf"),
        ({"accuracy": math.inf, "bytes": 1.0}, "non-finite accuracy: inf"),
        ({"accuracy": 0.99, "bytes": 0.0}, "bytes = 0 cannot be on a log scale"),
    ],
)
def test_a_missing_or_non_finite_metric_is_never_ranked(metrics, reason):
    front = front_of(record(0, 0.1, 1e9), record(1, metrics=metrics))
    assert numbers(front) == [0]
    assert front.left_out == {1: reason}


def test_trials_beyond_a_hard_limit_are_left_out():
    limited = ACCURACY_SIZE.with_limits({"bytes": 5e4, "accuracy": 0.5})
    front = front_of(
        record(0, 0.9, 5e4), record(1, 0.99, 5.1e4), record(2, 0.4, 10), objectives=limited
    )
    assert numbers(front) == [0]
    assert front.left_out == {
        1: "over the hard limit bytes 50.0 KB",
        2: "under the hard limit accuracy 50.00 %",
    }


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.one_of(st.integers(1, 5), st.just(math.nan))), max_size=20
    )
)
def test_the_front_is_what_the_definition_says(values):
    records = [record(i, a / 4, size) for i, (a, size) in enumerate(values)]
    front = front_of(*records)
    usable = [r for r in records if math.isfinite(r.metrics["bytes"])]

    def beats(a, b):
        worse = a.metrics["accuracy"] < b.metrics["accuracy"]
        worse |= a.metrics["bytes"] > b.metrics["bytes"]
        return not worse and (a.metrics != b.metrics or a.number < b.number)

    expected = {r.number for r in usable if not any(beats(o, r) for o in usable if o is not r)}
    assert set(numbers(front)) == expected
    assert set(front.left_out) == {r.number for r in records} - expected
    accuracies = [item.metrics["accuracy"] for item in front]
    assert accuracies == sorted(accuracies, reverse=True)
    for number, reason in front.left_out.items():
        if " trial " in reason:
            assert int(reason.rsplit(" ", 1)[1]) in expected, number


def test_hypervolume_is_measured_from_the_stored_reference_point_in_powers_of_ten():
    front = front_of(record(0, 0.9, 1e4), record(1, 0.6, 1e3), record(2, 0.05, 10))
    # trial 2 is worse than the reference accuracy 0.1 and adds nothing
    assert numbers(front) == [0, 1, 2]
    assert front.hypervolume() == pytest.approx((0.9 - 0.1) * 2 + (0.6 - 0.1) * 1)


def test_hypervolume_needs_numbers_to_measure_from():
    unresolved = Objectives("x", (Objective("accuracy", "maximize"),))
    with pytest.raises(ConfigError, match="resolve"):
        front_of(record(0), objectives=unresolved).hypervolume()


def test_an_empty_front_has_no_volume_no_knee_and_an_empty_table():
    front = front_of(record(0, status=Status.DIVERGED))
    assert (len(front), front.hypervolume(), front.knee()) == (0, 0.0, None)
    assert front.to_frame().shape[0] == 0
    assert "bytes" in front.to_frame()


def test_the_knee_is_one_of_the_records():
    front = front_of(record(0, 0.97, 1e6), record(1, 0.96, 2e4), record(2, 0.3, 1e4))
    assert front.knee().number == 1


def test_the_table_has_metrics_ratios_and_plan():
    plan = {"tasks": [{"name": "fc", "params": ["fc.weight"], "compression": {"scheme": "dense"}}]}
    metrics = {"accuracy": 0.49, "bytes": 1e5, "latency": 2.0}
    frame = front_of(record(4, candidate=plan, metrics=metrics, seconds=3.5)).to_frame()
    assert frame.to_dict("records") == [
        {
            "number": 4,
            "status": "complete",
            "origin": "sampler",
            "accuracy": 0.49,
            "bytes": 1e5,
            "latency": 2.0,
            "accuracy_vs_reference": pytest.approx(0.5),
            "bytes_vs_reference": pytest.approx(10.0),
            "plan": "fc: dense",
            "seconds": 3.5,
        }
    ]


def test_ratios_without_a_reference_are_not_made_up():
    frame = Front.from_records([record(0)], ACCURACY_SIZE, {}).to_frame()
    assert frame["bytes_vs_reference"].isna().all()


def test_best_asks_all_trials_not_only_the_front():
    dominated = record(1, metrics={"accuracy": 0.94, "bytes": 2e4, "latency": 1.0})
    front = front_of(record(0, metrics={"accuracy": 0.95, "bytes": 1e4, "latency": 9.0}), dominated)
    assert numbers(front) == [0]
    assert front.best({"latency": ("<=", 2.0)}).record is dominated


def test_a_front_is_a_value():
    front = front_of(record(0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        front.records = ()
    assert front == front_of(record(0))


def test_ten_thousand_trials_in_three_objectives_are_quick():
    generator = np.random.default_rng(0)
    objectives = Objectives(
        "three", tuple(Objective(name, "minimize", worst=1.0) for name in ("a", "b", "c"))
    )
    values = generator.random((10_000, 3))
    records = [
        record(i, metrics=dict(zip("abc", row, strict=True))) for i, row in enumerate(values)
    ]
    front = Front.from_records(records, objectives, {})
    assert len(front) + len(front.left_out) == 10_000
    assert 0.9 < front.hypervolume() < 1.0

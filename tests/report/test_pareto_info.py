import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.analysis import Front
from autocompress.errors import UnknownName
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from autocompress.explore.repeats import Repeat
from autocompress.report.pareto_info import TRIAL, pairs, pareto_info
from tests.analysis.records import ACCURACY_SIZE, record
from tests.report.fake import ONE, THREE, TWO, make_study

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}


def front_of(*records, objectives=ACCURACY_SIZE, reference=REFERENCE):
    return Front.from_records(records, objectives, reference)


def fake_front(tmp_path, count, objectives):
    study = make_study(tmp_path, count, objectives)
    return Front.from_records(study.records(), objectives, study.reference)


def test_every_pair_of_objectives_is_worth_a_plot(tmp_path):
    assert pairs(fake_front(tmp_path, 2, ONE)) == [(TRIAL, "accuracy")]
    assert pairs(fake_front(tmp_path, 2, TWO)) == [("bytes", "accuracy")]
    assert pairs(fake_front(tmp_path, 2, THREE)) == [
        ("bytes", "accuracy"),
        ("latency", "accuracy"),
        ("latency", "bytes"),
    ]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (None, None, ("bytes", "accuracy")),
        ("latency", None, ("latency", "accuracy")),
        (None, "bytes", ("latency", "bytes")),
        ("accuracy", None, ("accuracy", "bytes")),
        ("accuracy", "latency", ("accuracy", "latency")),
    ],
)
def test_axes_that_are_not_named_are_chosen(tmp_path, x, y, expected):
    info = pareto_info(fake_front(tmp_path, 5, THREE), x, y)
    assert (info.x.metric, info.y.metric) == expected


def test_with_two_objectives_naming_either_axis_is_enough(tmp_path):
    front = fake_front(tmp_path, 5, TWO)
    assert pareto_info(front, y="bytes").x.metric == "accuracy"
    assert pareto_info(front, y="accuracy").x.metric == "bytes"
    assert pareto_info(front, x="accuracy").y.metric == "bytes"


def test_what_is_no_objective_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'bytes'"):
        pareto_info(front_of(record(0)), x="byte")


def test_axes_say_what_they_measure():
    info = pareto_info(front_of(record(0)))
    assert info.x == ("bytes", "packed file size", "bytes", True, True)
    assert info.y == ("accuracy", "accuracy", "fraction", False, False)


def test_every_trial_is_somewhere():
    front = front_of(
        record(0, 0.9, 1e4),
        record(1, 0.8, 2e4),
        record(2, status=Status.CRASHED),
        record(3, status=Status.CRASHED),
        record(4, status=Status.RUNNING),
        record(5, math.nan, 10),
    )
    info = pareto_info(front)
    assert info.front == ((1e4,), (0.9,), (0,))
    assert info.dominated == ((2e4,), (0.8,), (1,))
    assert info.statuses == {"complete": 2, "crashed": 2, "running": 1, "not ranked": 1}
    assert info.reference == (1e6, 0.98)


def attained(info, budget):
    """The best y of the drawn staircase within a budget for x."""
    ys = [y for x, y in zip(info.line.x, info.line.y, strict=True) if x <= budget]
    return max(ys, default=-math.inf)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1))
def test_the_staircase_is_the_best_within_each_budget(rows):
    three = Objectives(
        "three",
        (
            Objective("accuracy", "maximize", worst=0.0),
            Objective("bytes", "minimize", "log", worst=10.0),
            Objective("latency", "minimize", worst=10.0),
        ),
    )
    records = [
        record(i, metrics={"accuracy": a / 9, "bytes": float(b), "latency": float(c)})
        for i, (a, b, c) in enumerate(rows)
    ]
    info = pareto_info(front_of(*records, objectives=three), "bytes", "accuracy")
    for budget in range(1, 10):
        best = max((a / 9 for a, b, _ in rows if b <= budget), default=-math.inf)
        assert attained(info, budget) == best
    assert list(info.line.x) == sorted(info.line.x)


def test_with_accuracy_across_the_staircase_is_the_least_size_for_each_accuracy():
    front = front_of(record(0, 0.9, 100.0), record(1, 0.8, 40.0), record(2, 0.5, 10.0))
    line = pareto_info(front, "accuracy", "bytes").line
    assert line.x == (0.9, 0.8, 0.8, 0.5, 0.5)
    assert line.y == (100.0, 100.0, 40.0, 40.0, 10.0)


def test_with_one_objective_the_line_is_the_best_so_far():
    one = Objectives("one", (Objective("accuracy", "maximize", worst=0.1),))
    values = [0.5, 0.4, 0.7, 0.7, 0.9]
    info = pareto_info(front_of(*(record(i, v) for i, v in enumerate(values)), objectives=one))
    assert info.x.metric == TRIAL
    assert [attained(info, number) for number in range(5)] == [0.5, 0.5, 0.7, 0.7, 0.9]
    assert info.front.numbers == (4,)
    assert info.reference == (None, 0.98)


def test_test_accuracy_stands_for_the_front_only():
    front = front_of(record(0, 0.9, 1e4), record(1, 0.8, 2e4))
    info = pareto_info(front, test={0: 0.88, 1: 0.7, 99: 0.1})
    assert info.test == ((1e4,), (0.88,), (0,))
    assert pareto_info(front, "accuracy", "bytes", test={0: 0.88}).test.x == ()
    assert pareto_info(front, test={0: math.nan}).test.x == ()


def test_test_accuracy_becomes_an_error_on_an_error_axis():
    error = Objectives("e", (Objective("error", "minimize"), Objective("bytes", "minimize", "log")))
    front = front_of(record(0, metrics={"error": 0.1, "bytes": 1e4}), objectives=error)
    assert pareto_info(front, test={0: 0.88}).test.y == pytest.approx((0.12,))


@pytest.mark.parametrize("reference", [{}, {"accuracy": 0.9}, {"accuracy": 0.9, "bytes": math.nan}])
def test_a_reference_that_was_not_measured_is_not_drawn(reference):
    assert pareto_info(front_of(record(0), reference=reference)).reference is None


def test_far_dominated_trials_are_counted_when_they_fall_outside():
    steps = [record(i, 0.90 + 0.02 * i, 10.0 ** (3 + i)) for i in range(4)]
    far = [record(10, 0.1, 5e3), record(11, 0.2, 5e3), record(12, 0.9, 5e3)]
    info = pareto_info(front_of(*steps, *far))
    assert info.outside == 2
    (left, right), (bottom, top) = info.limits
    assert all(left < x < right for x in (*info.front.x, 1e6))
    assert all(bottom < y < top for y in info.front.y)


def test_nothing_yet_is_a_plot_of_nothing():
    info = pareto_info(front_of())
    assert info.front == info.line == info.dominated == ((), (), ())
    assert info.statuses == {}


def repeated(front):
    def again(record, index):
        metrics = {"accuracy": record.metrics["accuracy"] - 0.01 * index, "bytes": 1e4}
        return Repeat(record.number, index, index, Status.COMPLETE, record.metrics | metrics)

    return front.with_repeats({r.number: (again(r, 1), again(r, 2)) for r in front})


def test_trials_with_several_seeds_have_bars_around_their_means():
    front = repeated(front_of(record(0, 0.9, 1e4), record(1, 0.95, 1e5)))
    first, second = pareto_info(front).bars
    assert (first.number, second.number) == (1, 0)
    assert second.y == pytest.approx(0.89)
    assert second.y_ends[0] < 0.89 < second.y_ends[1]
    assert second.x_ends == (second.x, second.x) == pytest.approx((1e4, 1e4))
    assert pareto_info(front_of(record(0))).bars == ()
    bars = pareto_info(repeated(front_of(record(3), objectives=ONE))).bars
    assert [bar.x_ends for bar in bars] == [(3.0, 3.0)]


def test_wide_bars_do_not_squeeze_the_front():
    wide = [Repeat(1, 1, 1, Status.COMPLETE, {"accuracy": 0.1, "bytes": 1e5})]
    records = [record(i, 0.9 + 0.02 * i, 10.0 ** (3 + i)) for i in range(4)]
    front = front_of(*records).with_repeats({1: wide})
    (low, _) = pareto_info(front).limits[1]
    assert low > 0.7

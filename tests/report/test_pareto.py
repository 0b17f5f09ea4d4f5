import pytest

from autocompress.analysis import Front
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from autocompress.explore.repeats import Repeat
from autocompress.report.pareto import axis_label, note, pareto
from autocompress.report.pareto_info import pairs, pareto_info
from tests.analysis.records import ACCURACY_SIZE, record
from tests.report.fake import ONE, THREE, TWO, make_study
from tests.report.looks import check_figure, texts

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}


def fake_front(path, count, objectives, seed=0):
    study = make_study(path, count, objectives, seed=seed)
    return Front.from_records(study.records(), objectives, study.reference)


@pytest.mark.parametrize("count", [0, 1, 2, 24])
@pytest.mark.parametrize("objectives", [ONE, TWO, THREE], ids=["one", "two", "three"])
def test_nothing_is_clipped_small_or_overlapping(tmp_path, objectives, count):
    front = fake_front(tmp_path, count, objectives)
    test = {r.number: r.metrics["accuracy"] - 0.004 for r in front}
    for x, y in pairs(front):
        check_figure(pareto(front, x, y, test=test))


@pytest.mark.parametrize("size", [1.0, 40.0, 3e3, 7e8])
@pytest.mark.parametrize("spread", [1.02, 1.6, 30.0])
def test_ticks_are_readable_at_any_size(size, spread):
    records = [record(i, 0.9 + 0.02 * i, size * spread**i) for i in range(4)]
    front = Front.from_records(records, ACCURACY_SIZE, {"accuracy": 0.97, "bytes": size * 2})
    check_figure(pareto(front))


def test_every_usual_metric_has_a_readable_axis():
    costs = {"flops": 3e5, "latency_ratio": 0.4, "latency_p99": 0.3, "error": 0.03, "loss": 0.1}
    objectives = Objectives(
        "many", tuple(Objective(name, "minimize", "log", worst=1e9) for name in costs)
    )
    records = [
        record(i, metrics={name: v * 1.3 ** (i if j else -i) for j, (name, v) in enumerate(items)})
        for i in range(5)
        for items in [list(costs.items())]
    ]
    front = Front.from_records(records, objectives, {name: 2 * v for name, v in costs.items()})
    for x, y in pairs(front):
        check_figure(pareto(front, x, y))
        check_figure(pareto(front, y, x))


def test_the_plot_says_what_is_what(tmp_path):
    front = fake_front(tmp_path, 40, TWO)
    found = texts(pareto(front))
    assert {"front", "dominated", "knee", "reference", "validation accuracy (%)"} <= {*found}
    assert "packed file size" in found
    assert "test" not in found


def test_with_test_accuracy_both_splits_are_named(tmp_path):
    front = fake_front(tmp_path, 40, TWO)
    found = texts(pareto(front, test={front.records[0].number: 0.9}))
    assert {"front, validation", "test", "accuracy (%)"} <= {*found}
    assert "validation accuracy (%)" not in found


def test_front_and_dominated_points_are_drawn_once_each_and_failed_ones_not():
    front = Front.from_records(
        [
            record(0, 0.9, 1e4),
            record(1, 0.95, 1e5),
            record(2, 0.8, 2e4),
            record(3, status=Status.DIVERGED),
        ],
        ACCURACY_SIZE,
        REFERENCE,
    )
    axes = pareto(front).axes[0]
    (scatter,) = axes.collections
    assert scatter.get_offsets().tolist() == [[2e4, 0.8]]
    (markers,) = [line for line in axes.lines if line.get_label() == "front"]
    assert sorted(markers.get_xdata()) == [1e4, 1e5]
    (star,) = [line for line in axes.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (1e6, 0.98)
    assert axes.get_xscale() == "log"
    assert axes.get_yscale() == "linear"


def test_the_note_counts_what_is_not_drawn():
    records = [record(0), *(record(i, status=Status.OUT_OF_MEMORY) for i in (1, 2))]
    front = Front.from_records(records, ACCURACY_SIZE, REFERENCE)
    plain = note(pareto_info(front)).replace("\N{NO-BREAK SPACE}", " ")
    assert plain == "3 trials; not drawn: 2 out of memory"
    one = Front.from_records([record(0)], ACCURACY_SIZE, REFERENCE)
    assert note(pareto_info(one)) == "1 trial"


def test_labels_name_the_split_only_where_it_matters():
    front = Front.from_records([record(0)], ACCURACY_SIZE, REFERENCE)
    info = pareto_info(front)
    assert axis_label(info.y, tested=False) == "validation accuracy (%)"
    assert axis_label(info.y, tested=True) == "accuracy (%)"
    assert axis_label(info.x, tested=False) == "packed file size"


def test_many_points_become_pixels_in_vector_files(tmp_path):
    front = fake_front(tmp_path, 2000, TWO)
    assert pareto(front).axes[0].collections[0].get_rasterized()
    assert not pareto(fake_front(tmp_path, 50, TWO)).axes[0].collections[0].get_rasterized()


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE], ids=["one", "two", "three"])
def test_error_bars_are_drawn_and_named(tmp_path, objectives):
    front = fake_front(tmp_path, 24, objectives)
    runs = {
        r.number: tuple(
            Repeat(r.number, i, i, Status.COMPLETE, {k: 0.98**i * v for k, v in r.metrics.items()})
            for i in (1, 2, 3)
        )
        for r in front
    }
    front = front.with_repeats(runs)
    test = {r.number: r.metrics["accuracy"] - 0.004 for r in front}
    for x, y in pairs(front):
        figure = pareto(front, x, y, test=test)
        check_figure(figure)
        assert "95 % interval" in texts(figure)

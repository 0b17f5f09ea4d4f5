import pandas as pd
import pytest

from autocompress.analysis import Front, hypervolume_progress
from autocompress.report.curves import hypervolume_curve, mu_curves
from tests.analysis.records import record
from tests.report.fake import THREE, TWO, make_records, make_study, write_history
from tests.report.looks import check_figure, texts


def histories(tmp_path, count, steps=20):
    found = {}
    for made in make_records(count, failing=0.0):
        write_history(tmp_path, made, steps)
        found[made.number] = pd.read_csv(tmp_path / made.folder / "history.csv")
    return found


@pytest.mark.parametrize("count", [0, 1, 7, 8, 70])
def test_curves_are_readable_for_any_number_of_trials(tmp_path, count):
    check_figure(mu_curves(histories(tmp_path, count)))


def test_each_panel_draws_each_trial(tmp_path):
    found = histories(tmp_path, 3)
    mu, violation, accuracy = mu_curves(found).axes
    for axes, column in ((violation, "violation"), (accuracy, "val_accuracy")):
        for line, history in zip(axes.lines, found.values(), strict=True):
            assert list(line.get_ydata()) == list(history[column])
    # mu of step 0 is 0, which a log axis cannot show
    assert list(mu.lines[0].get_xdata()) == list(range(1, 21))
    assert [axes.get_yscale() for axes in (mu, violation, accuracy)] == ["log", "log", "linear"]
    assert {"trial 0", "trial 1", "trial 2"} <= {*texts(mu.figure)}


def test_direct_compression_alone_is_a_visible_point(tmp_path):
    figure = mu_curves(histories(tmp_path, 1, steps=0))
    assert figure.axes[2].lines[0].get_marker() == "o"


def test_many_trials_are_coloured_by_size(tmp_path):
    study = make_study(tmp_path, 40, TWO)
    front = Front.from_records(study.records(), TWO, study.reference)
    assert len(front) > 7
    found = {r.number: pd.read_csv(tmp_path / r.folder / "history.csv") for r in front}
    figure = mu_curves(found, front=front)
    assert "packed file size" in texts(figure)
    colours = {tuple(line.get_color()) for line in figure.axes[0].lines}
    assert len(colours) == len(front)
    check_figure(figure)


def test_trials_of_one_size_still_have_a_colour_scale(tmp_path):
    records = [
        record(i, metrics={"accuracy": 0.5 + i / 100, "bytes": 1e4, "latency": 1.0 + i})
        for i in range(9)
    ]
    front = Front.from_records(records, THREE)
    assert len(front) == 9
    check_figure(mu_curves(histories(tmp_path, 9), front=front))


def test_of_very_many_trials_an_even_choice_is_drawn(tmp_path):
    figure = mu_curves(histories(tmp_path, 70, steps=2))
    assert len(figure.axes[0].lines) == 60
    assert "60 of 70 trials drawn" in texts(figure)


@pytest.mark.parametrize("count", [0, 1, 24, 600])
def test_the_hypervolume_is_drawn_as_it_grew(count):
    records = make_records(count)
    figure = hypervolume_curve(records, THREE)
    check_figure(figure)
    drawn = figure.axes[0].lines[0]
    expected = hypervolume_progress(records, THREE)
    assert tuple(drawn.get_xdata()) == expected.numbers
    assert tuple(drawn.get_ydata()) == expected.hypervolumes
    assert ("no trial has finished yet" in texts(figure)) == (count == 0)

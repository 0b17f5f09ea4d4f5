import dataclasses

import pandas as pd
import pytest

from autocompress.analysis import Front
from autocompress.report.build import build_report
from autocompress.report.html import page
from autocompress.report.proposals import (
    calibrate,
    calibration_plot,
    calibration_text,
    origin_counts,
    origin_frame,
    origin_table,
    origin_text,
)
from autocompress.sensitivity.calibration import Calibration
from autocompress.sensitivity.planning import NOTE
from tests.report.fake import REFERENCE, TWO, FakeStudy, make_records

FOUND = Calibration("loss", (0.1, 0.0, 2.0, 0.5), (0.2, 0.1, 1.5, 0.3), 1.0, float("nan"))


def records():
    names = ("knapsack", "guided", "sampler")
    found = make_records(12, failing=0.0)
    return [dataclasses.replace(r, origin=names[r.number % 3]) for r in found]


def front_of(found):
    return Front.from_records(found, TWO, REFERENCE)


def test_trials_and_members_are_counted_by_origin():
    front = front_of(records())
    counts = origin_counts(front)
    assert [name for name, *_ in counts] == ["knapsack", "sampler", "guided"]
    assert [trials for _, trials, _, _ in counts] == [4, 4, 4]
    assert sum(members for *_, members in counts) == len(front)
    frame = origin_frame(front)
    assert frame["share"].sum() == pytest.approx(1.0)
    assert origin_table(front).rows[0][:4] == (
        "knapsack",
        "foretold by the sensitivities",
        "4",
        "4",
    )
    assert origin_text(front).count(" ") >= 1


def test_an_empty_study_has_nobody():
    assert origin_counts(front_of([])) == []
    assert origin_text(front_of([])) == ""
    assert origin_frame(front_of([])).empty


def test_the_plot_and_the_sentence_tell_the_rank_correlation():
    assert "rank correlation 1.00" in calibration_text(FOUND)
    figure = calibration_plot(FOUND)
    points = [line.get_xdata() for line in figure.axes[0].lines]
    assert [len(x) for x in points] == [3, 1]  # what costs nothing is at the edge
    calibration_plot(Calibration("loss", (0.0,), (0.1,), float("nan"), float("nan")))
    short = Calibration("loss", (0.1,), (0.1,), float("nan"), float("nan"))
    assert "unknown" in calibration_text(short)


def test_the_page_tells_both():
    text = page(
        front_of(records()), name="run", test={}, pictures=(), run={}, foretold="Foretold <well>."
    )
    assert "foretold by the sensitivities" in text
    assert "Foretold &lt;well&gt;." in text


def test_a_study_without_a_table_has_no_calibration():
    assert calibrate(None, front_of(records())) is None


def test_a_damaged_table_is_told_and_the_report_is_there(tmp_path, monkeypatch):
    stubs = {kind: kind.encode() for kind in ("png", "pdf", "svg")}
    monkeypatch.setattr("autocompress.report.build.render", lambda figure: stubs)
    study = FakeStudy(tmp_path, records())
    study.notes[NOTE] = {"rows": 3}
    paths = build_report(study, tmp_path / "report")
    assert any("sensitivities kept with the study" in text for text in paths.problems)
    assert not (tmp_path / "report" / "calibration.csv").exists()
    assert len(pd.read_csv(paths.origins_csv)) == 3

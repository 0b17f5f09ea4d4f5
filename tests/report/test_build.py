import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from autocompress import yamlio
from autocompress.analysis import Front
from autocompress.errors import ConfigError, PackedFileError
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from autocompress.report.build import build_report
from tests.report.fake import ONE, THREE, TWO, FakeStudy, make_records, make_study


def accuracy_of(record):
    return record.metrics["accuracy"] - 0.004


def front_numbers(study):
    return {r.number for r in Front.from_records(study.records(), study.objectives)}


def test_everything_of_the_design_is_there(tmp_path, real_pictures):
    study = make_study(tmp_path / "run", 24)
    paths = build_report(study, tmp_path / "run" / "report", test=accuracy_of)
    names = {path.name for path in paths.folder.iterdir()}
    plots = {f"{n}.{k}" for n in ("pareto", "hypervolume", "steps") for k in ("png", "pdf", "svg")}
    tables = {"front.csv", "front.md", "front.tex", "trials.csv", "origins.csv"}
    assert names == {"index.html"} | tables | plots
    assert {path.name for path in paths.figures} == plots
    assert paths.problems == ()
    assert set(pd.read_csv(paths.front_csv)["number"]) == front_numbers(study)
    assert len(pd.read_csv(paths.trials_csv)) == 24
    magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    assert all(path.read_bytes().startswith(magic[path.suffix]) for path in paths.figures)
    assert "toprule" in paths.front_tex.read_text()
    assert paths.front_md.read_text().startswith("| trial |")
    assert paths.index.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("objectives", "plots"),
    [
        (ONE, {"pareto"}),
        (THREE, {"pareto", "pareto-accuracy-latency", "pareto-bytes-latency"}),
    ],
    ids=["one", "three"],
)
def test_every_pair_of_objectives_is_plotted(tmp_path, objectives, plots):
    paths = build_report(make_study(tmp_path, 12, objectives), tmp_path / "report")
    found = {path.stem for path in paths.figures if path.stem.startswith("pareto")}
    assert found == plots


def test_test_accuracy_is_measured_once_ever_and_for_the_front_only(tmp_path):
    study = make_study(tmp_path, 24)
    asked = []

    def measure(record):
        asked.append(record.number)
        return accuracy_of(record)

    first = build_report(study, tmp_path / "report", test=measure)
    assert sorted(asked) == sorted(front_numbers(study))
    build_report(study, tmp_path / "again", test=measure)
    assert len(asked) == len(front_numbers(study))
    shown = pd.read_csv(first.front_csv).set_index("number")["test_accuracy"]
    assert all(shown[number] == study.test(number) for number in asked)


def test_without_a_way_to_measure_only_what_is_kept_is_shown(tmp_path):
    study = make_study(tmp_path, 12)
    number = min(front_numbers(study))
    study.set_test(number, 0.5)
    frame = pd.read_csv(build_report(study, tmp_path / "report").front_csv).set_index("number")
    assert frame["test_accuracy"].dropna().to_dict() == {number: 0.5}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PackedFileError("model.safetensors: truncated"), "truncated"),
        (FileNotFoundError("gone"), "gone"),
        (float("nan"), "nan"),
    ],
)
def test_a_trial_that_cannot_be_tested_does_not_stop_the_report(tmp_path, answer, reason):
    study = make_study(tmp_path, 12)
    bad = max(front_numbers(study))

    def measure(record):
        if record.number != bad:
            return accuracy_of(record)
        if isinstance(answer, Exception):
            raise answer
        return answer

    paths = build_report(study, tmp_path / "report", test=measure)
    (problem,) = paths.problems
    assert f"trial {bad}" in problem
    assert reason in problem
    assert problem in paths.index.read_text()
    assert study.test(bad) is None


def test_mistakes_of_the_caller_are_not_swallowed(tmp_path):
    def measure(record):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        build_report(make_study(tmp_path, 3), tmp_path / "report", test=measure)
    unresolved = Objectives("x", (Objective("accuracy", "maximize"),))
    with pytest.raises(ConfigError, match="resolve"):
        build_report(FakeStudy(tmp_path, [], unresolved), tmp_path / "report")


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE], ids=["one", "two", "three"])
@pytest.mark.parametrize("count", [0, 1])
def test_almost_empty_studies_have_a_report(tmp_path, objectives, count):
    paths = build_report(make_study(tmp_path, count, objectives), tmp_path / "report")
    assert len(pd.read_csv(paths.front_csv)) == count
    said = "No trial can be ranked yet" in paths.index.read_text()
    assert said == (count == 0)


def test_trials_that_all_failed_or_still_run_have_a_report(tmp_path):
    records = [
        dataclasses.replace(record, metrics={}, status=status)
        for record, status in zip(make_records(9), Status, strict=True)
        if status is not Status.COMPLETE
    ]
    paths = build_report(FakeStudy(tmp_path, records), tmp_path / "report", test=accuracy_of)
    assert "No trial can be ranked yet" in paths.index.read_text()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "step,mu\n1,2\n",
        "not,a\ncsv,at,all\n",
        "step,mu,violation,val_accuracy\n0,x,y,z\n",
        "step,mu,violation,val_accuracy\n",
        None,
        b"\xff\xfe\x00",
    ],
)
def test_damaged_histories_are_left_out(tmp_path, content):
    study = make_study(tmp_path, 2)
    for file in tmp_path.glob("trials/*/history.csv"):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
    paths = build_report(study, tmp_path / "report")
    assert not any(path.stem == "steps" for path in paths.figures)


def test_the_sweep_is_on_the_page_and_a_damaged_one_is_a_problem(tmp_path):
    study = make_study(tmp_path, 2)
    (tmp_path / "sweep.yaml").write_text(yamlio.dumps({"model": "lenet5", "data": "mnist"}))
    assert "lenet5 on mnist" in build_report(study, tmp_path / "a").index.read_text()
    (tmp_path / "sweep.yaml").write_text("model: [")
    paths = build_report(study, tmp_path / "b")
    assert len(paths.problems) == 1
    assert "sweep.yaml" in paths.problems[0]


def test_progress_counts_up_to_the_end(tmp_path):
    told = []
    build_report(
        make_study(tmp_path, 6), tmp_path / "report", test=accuracy_of,
        progress=lambda *now: told.append(now),
    )  # fmt: skip
    done = [now[0] for now in told]
    totals = {now[1] for now in told}
    assert done == sorted(done)
    assert totals == {done[-1]}
    assert told[-1][2] == "done"


def test_a_second_report_replaces_the_first_and_leaves_nothing_behind(tmp_path):
    study = make_study(tmp_path, 6)
    build_report(study, tmp_path / "report")
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    build_report(study, tmp_path / "report")
    after = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert {*before} == {*after}
    assert all(before[n] == after[n] for n in before if n != "index.html")


def test_a_report_that_fails_leaves_the_old_page(tmp_path, monkeypatch):
    study = make_study(tmp_path, 6)
    paths = build_report(study, tmp_path / "report")
    old = paths.index.read_bytes()

    def full(self, *args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        build_report(study, tmp_path / "report")
    assert paths.index.read_bytes() == old
    assert not [path for path in Path(tmp_path / "report").iterdir() if "tmp" in path.name]


@pytest.mark.slow
def test_ten_thousand_trials_are_reported(tmp_path, real_pictures):
    study = make_study(tmp_path, 10_000, THREE)
    paths = build_report(study, tmp_path / "report", test=accuracy_of)
    assert len(paths.trials_csv.read_text().splitlines()) == 10_001
    assert paths.index.stat().st_size < 5_000_000


def test_a_search_for_a_target_has_its_answer_on_the_page_and_as_json(tmp_path):
    import json

    from autocompress.analysis.onesided import Goal, answer

    study = make_study(tmp_path, 12)
    for target, word in (("accuracy>=ref-20%", "smallest bytes with"), ("accuracy>=100%", "binds")):
        found = answer(study.records(), study.objectives, Goal.parse(target), study.reference)
        study.found = lambda found=found: found
        paths = build_report(study, tmp_path / "report", test=accuracy_of)
        text = paths.index.read_text()
        assert "<h2>Target</h2>" in text
        assert word in text
        assert "answer.json" in text
        data = json.loads((paths.folder / "answer.json").read_text())
        assert data["target"] == target
        assert data["found"] is bool(found)

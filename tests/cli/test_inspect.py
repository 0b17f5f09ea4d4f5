import shutil
import sqlite3
from contextlib import closing

import pytest

from autocompress.explore.study import Study


def test_best_shows_the_trial_and_its_model(run, finished):
    said = run("best", finished, "--max-bytes", "1MB", "--min-accuracy=1%")
    assert said.code == 0, said.err
    assert "bytes <= 1 MB" in said.out.replace("1.00 MB", "1 MB")
    assert f"model: {finished}/trials/" in said.out
    assert "test accuracy" in said.out


def test_best_says_why_there_is_none(run, finished):
    said = run("best", finished, "--max-bytes", "20", "--min-accuracy", "0.5")
    assert said.code == 1
    assert "no trial keeps bytes <= 20" in said.out
    assert "nearest" in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-byte", "3"], "did you mean 'bytes'"),
        (["--max-bytes"], "its value is missing"),
        (["--max-bytes", "x"], "cannot read 'x'"),
        (["--max-bytes", "3", "--max-bytes", "4"], "already"),
        (["--most-bytes", "3"], "--max-METRIC"),
        (["--by", "weight"], "unknown metric 'weight'"),
    ],
)
def test_bad_limits_are_one_line_on_stderr(run, finished, arguments, words):
    said = run("best", finished, *arguments)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_best_of_what_is_no_run(run, tmp_path):
    said = run("best", tmp_path)
    assert said.code == 2
    assert "no study" in said.err


def forget(run):
    """Make a study forget its test accuracies."""
    with closing(sqlite3.connect(run / "study.db")) as database, database:
        database.execute("DELETE FROM study_user_attributes WHERE key LIKE '%test:%'")
    with Study.load(run) as study:
        assert study.tests() == {}


def test_report_writes_everything_again_and_measures_missing_test_accuracies(run, copied):
    shutil.rmtree(copied / "report")
    with Study.load(copied) as study:
        numbers = [record.number for record in study.front()]
        known = study.tests()
    assert set(known) == set(numbers)
    forget(copied)
    said = run("report", copied)
    assert said.code == 0, said.err
    assert f"report: {copied}/report/index.html" in said.out
    assert "Pareto front" in said.out
    for name in ("front.csv", "front.md", "trials.csv", "pareto.png", "pareto.pdf", "pareto.svg"):
        assert (copied / "report" / name).stat().st_size > 0
    with Study.load(copied) as study:
        assert study.tests() == known


def test_report_of_a_run_whose_model_file_is_gone_says_so(run, copied):
    with Study.load(copied) as study:
        number = study.front().records[0].number
    forget(copied)
    (copied / "trials" / f"{number:04d}" / "model.safetensors").unlink()
    said = run("report", copied)
    assert said.code == 0
    assert said.err.startswith(f"warning: test accuracy of trial {number}")


def test_limits_may_be_relative_to_the_uncompressed_model(run, finished):
    done = run("best", finished, "--min-accuracy", "ref-90%", "--max-bytes=ref*0.9")
    assert done.code == 0
    assert "with accuracy >= " in done.out
    failed = run("best", finished, "--max-bytes", "ref-")
    assert failed.code == 2
    assert "limits.bytes: 'ref-': cannot read ''" in failed.err

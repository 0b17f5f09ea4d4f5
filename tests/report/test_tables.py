import io
import math
import re

import pandas as pd
import pytest

from autocompress.analysis import Front
from autocompress.explore.record import Status
from autocompress.explore.repeats import Repeat
from autocompress.report.tables import (
    escape_markdown,
    escape_tex,
    front_frame,
    front_table,
    heading,
    markdown,
    summary_of,
    tex,
    text_of,
    trials_frame,
)
from tests.analysis.records import ACCURACY_SIZE, record
from tests.report.fake import THREE, TWO, make_study

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}


def plan(name, scheme="prune"):
    return {"tasks": [{"name": name, "params": ["w"], "compression": {"scheme": scheme}}]}


def front_of(*records):
    return Front.from_records(records, ACCURACY_SIZE, REFERENCE)


def test_the_table_is_what_people_want_to_know():
    front = front_of(record(0, 0.98, 1e6), record(7, 0.9712, 2e4, candidate=plan("fc")))
    assert front_table(front, {7: 0.9698}, plans=text_of) == (
        ("trial", "validation accuracy", "packed file size", "test accuracy", "plan"),
        (
            ("reference", "98.00 %", "1.00 MB", "", "uncompressed"),
            ("0", "98.00 %", "1.00 MB (1.00×)", "n/a", ""),
            ("7", "97.12 %", "20.0 KB (50.0×)", "96.98 %", "fc: prune"),
        ),
        (False, False, False, False, True),
    )


def test_columns_nobody_asked_for_are_left_out():
    table = front_table(front_of(record(0)), {})
    assert table.header == ("trial", "validation accuracy", "packed file size")
    assert Front.from_records([record(0)], ACCURACY_SIZE).reference == {}
    assert len(front_table(Front.from_records([record(0)], ACCURACY_SIZE), {}).rows) == 1


def test_headings_name_the_split_where_it_matters():
    assert [heading(item) for item in THREE.items] == [
        "validation accuracy",
        "packed file size",
        "latency, median",
    ]


def test_csv_gives_back_the_numbers(tmp_path):
    study = make_study(tmp_path, 30)
    front = Front.from_records(study.records(), TWO, study.reference)
    test = {front.records[0].number: 0.975}
    back = pd.read_csv(io.StringIO(front_frame(front, test).to_csv(index=False)))
    assert back["number"].tolist() == [r.number for r in front]
    assert back["bytes"].tolist() == [r.metrics["bytes"] for r in front]
    assert back["test_accuracy"][0] == 0.975
    assert back["test_accuracy"].isna().sum() == len(front) - 1


def test_every_trial_has_its_row_and_its_reason(tmp_path):
    study = make_study(tmp_path, 60)
    front = Front.from_records(study.records(), TWO, study.reference)
    frame = trials_frame(front)
    assert frame["number"].tolist() == list(range(60))
    assert set(frame["number"][frame["on_front"]]) == {r.number for r in front}
    off = frame[~frame["on_front"]]
    assert (off["left_out"] != "").all()
    assert (frame["left_out"][frame["on_front"]] == "").all()


@pytest.mark.parametrize("text", ["a,b", 'say "x"', "two\nlines", "=1+1", "ünï × μ"])
def test_any_message_survives_the_csv(text):
    front = front_of(record(0, status=Status.CRASHED, message=text))
    back = pd.read_csv(io.StringIO(trials_frame(front).to_csv(index=False)))
    assert back["message"][0] == text


def test_markdown_has_one_cell_a_column_whatever_is_in_it():
    name = "a|b `c` <img src=x onerror=alert(1)> \\ [d](e)\nf"
    text = markdown(front_table(front_of(record(0, candidate=plan(name))), {}, plans=text_of))
    lines = text.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert "<" not in text
    assert lines[1] == "| ---: | ---: | ---: | --- |"


def test_tex_is_a_whole_booktabs_table():
    front = front_of(*(record(i, 0.9 + i / 1000, 10.0 ** (3 + i / 10)) for i in range(8)))
    text = tex(front_table(front, {0: 0.9}, plans=summary_of))
    assert text.count("\\begin{tabular}{rrrrl}") == text.count("\\end{tabular}") == 1
    order = [text.index(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")]
    assert order == sorted(order)
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 10
    assert all(len(re.findall(r"(?<!\\)&", row)) == 4 for row in rows)


def test_a_long_front_is_thinned_for_the_paper_and_says_so():
    front = front_of(*(record(i, 0.5 + i / 1000, 10.0 ** (3 + i / 100)) for i in range(100)))
    text = tex(front_table(front, {}))
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 16
    assert "15 of 101 rows" in text
    assert rows[1].startswith("reference")
    assert rows[-1].startswith("0 &")


def test_tex_escapes_every_character_that_means_something():
    escaped = escape_tex("a_b & 50% $x$ #1 {y} ~ ^ \\input{/etc/passwd}\n2×")
    bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}", "", escaped)
    bare = re.sub(r"\$\\times\$", "", bare)
    assert not re.search(r"(?<!\\)[&%$#_{}~^]", bare)
    assert "\\input" not in escaped
    assert "\n" not in escaped


def test_markdown_escapes_twice_over_nothing():
    assert escape_markdown("plain text, 3.0 (x)") == "plain text, 3.0 (x)"
    assert escape_markdown("a & b < c") == "a &amp; b &lt; c"


def test_a_missing_value_is_not_made_up():
    front = front_of(record(0))
    assert front_table(front, {0: math.nan}).rows[1][-1] == "n/a"


def test_repeats_add_intervals_seeds_and_odds():
    front = Front.from_records([record(0, 0.9, 1e4), record(1, 0.8, 1e3)], ACCURACY_SIZE)
    again = Repeat(0, 1, 5, Status.COMPLETE, {"accuracy": 0.92, "bytes": 1e4})
    noisy = front.with_repeats({0: (again,)})
    table = front_table(noisy, {})
    assert table.header[3:] == ("validation accuracy, 95 % interval", "seeds", "P(non-dominated)")
    assert table.rows[0][3:5] == ("78.29 % to 100.00 %", "2")
    assert 0.8 < float(table.rows[0][5]) <= 1.0
    assert table.rows[1][3:] == ("", "1", "")
    assert len(front_table(front, {}).header) == 3
    for text in (markdown(table), tex(table)):
        assert "P(non-dominated)" in text
    trials = trials_frame(noisy)
    assert list(trials["seeds"]) == [2, 1]
    assert "seeds" not in trials_frame(front)

import base64
import math
from html.parser import HTMLParser

import pytest

from autocompress.analysis import Front
from autocompress.explore.record import Status
from autocompress.report.html import page
from autocompress.report.markup import Picture
from tests.analysis.records import ACCURACY_SIZE, record
from tests.report.fake import THREE, make_records

REFERENCE = {"accuracy": 0.98, "bytes": 1e6}
VOID = {"meta", "img", "br", "link", "input"}
EVIL = "<script>alert('&\"')</script>"


class Reader(HTMLParser):
    """Checks that tags nest; keeps tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def rows(self):
        return self.tags.count("tr")


def read(front, **more):
    values = {"name": "run", "test": {}, "pictures": [], "run": {}} | more
    return Reader(page(front, **values))


def front_of(*records):
    return Front.from_records(records, ACCURACY_SIZE, REFERENCE)


def test_the_page_is_whole_and_loads_nothing():
    front = Front.from_records(make_records(60), THREE, REFERENCE)
    picture = Picture("pareto", "Accuracy against size.", b"<svg/>")
    found = read(front, pictures=[picture], test={0: 0.9}, files=["front.csv"])
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    sources = [value for _, name, value in found.attributes if name == "src"]
    encoded = base64.b64encode(b"<svg/>").decode()
    assert sources == [f"data:image/svg+xml;base64,{encoded}"]
    links = [value for tag, name, value in found.attributes if (tag, name) == ("a", "href")]
    assert sorted(links) == ["front.csv", "pareto.pdf", "pareto.png", "pareto.svg"]


def test_nothing_a_user_writes_becomes_markup():
    plan = {"tasks": [{"name": EVIL, "params": [], "compression": {"scheme": EVIL}}]}
    front = front_of(record(0, candidate=plan), record(1, status=Status.CRASHED, message=EVIL))
    found = read(
        front,
        name=EVIL,
        pictures=[Picture(EVIL, EVIL, b"")],
        problems=[EVIL],
        files=[EVIL],
        run={"model": EVIL, "data": EVIL, "space": EVIL, "resolved": {"versions": {EVIL: EVIL}}},
    )
    assert "script" not in found.tags
    assert not any(name.startswith("on") for _, name, _ in found.attributes)
    assert "".join(found.text).count(EVIL) >= 8


def test_the_page_says_what_was_run():
    run = {
        "model": "lenet300",
        "data": "mnist",
        "space": "mixed",
        "seed": 3,
        "resolved": {
            "versions": {"torch": "2.9"},
            "hardware": {"processor": "Fast CPU"},
            "written": "2026-01-02 03:04:05",
        },
    }
    text = "".join(read(front_of(record(0)), run=run).text)
    for word in ("lenet300 on mnist", "search space mixed", "accuracy-size", "seed 3", "Fast CPU"):
        assert word in text
    assert "2026-01-02" in text
    assert "processor: Fast CPU" in text  # sweep.yaml itself


@pytest.mark.parametrize("run", [{}, {"resolved": None}, {"resolved": {"versions": 3}, "model": 4}])
def test_a_run_that_says_little_still_has_a_page(run):
    assert "report written" in "".join(read(front_of(record(0)), run=run).text)


def test_the_page_says_which_split_is_which():
    front = front_of(record(0))
    with_test = "".join(read(front, test={0: 0.9}).text)
    assert "validation" in with_test
    assert "nothing was chosen by it" in with_test
    assert "Test accuracy was not measured" in "".join(read(front).text)


def test_failures_are_told_by_status_and_message():
    crashed = [record(i, status=Status.CRASHED, message="boom", metrics={}) for i in range(1, 4)]
    front = front_of(record(0), *crashed, record(9, status=Status.PRUNED, metrics={}))
    text = " ".join(read(front).text)
    assert "boom 3" in " ".join(text.split())
    assert "Failures" in text
    assert "Failures" not in "".join(read(front_of(record(0))).text)


def test_candidates_refused_before_training_are_counted():
    messages = ["bytes 2 MB is above 1 MB, known before training"] * 3
    messages += ["the same as trial 1, not run again"]
    refused = [
        record(i, status=Status.INFEASIBLE, message=message, folder=None)
        for i, message in enumerate(messages, 1)
    ]
    trained = record(9, status=Status.INFEASIBLE, folder="trials/0009")
    text = "".join(read(front_of(record(0), *refused, trained)).text)
    assert "for breaking a hard limit: 3." in text
    assert "hard limit:" not in "".join(read(front_of(record(0), trained)).text)


def test_no_trial_at_all_is_said():
    text = "".join(read(front_of()).text)
    assert "No trial can be ranked yet" in text
    assert "There are no trials yet" in text
    assert "none" in text


def test_the_knee_is_named_and_marked():
    front = front_of(record(0, 0.97, 1e6), record(1, 0.96, 2e4), record(2, 0.3, 1e4))
    found = read(front, test={1: 0.955})
    assert [v for t, n, v in found.attributes if (t, n) == ("tr", "class")] == ["mark"]
    assert "The knee, trial 1: accuracy 96.00 %, bytes 20.0 KB, test accuracy 95.50 %" in "".join(
        found.text
    )


def test_a_long_front_is_cut_and_says_so():
    front = front_of(*(record(i, 0.1 + i / 1e3, 10.0 ** (3 + i / 500)) for i in range(500)))
    found = read(front)
    assert "301 more rows are in front.csv" in "".join(found.text)
    assert found.rows() < 250


def test_a_trial_that_does_not_know_its_time_does_not_spoil_the_sum():
    front = front_of(record(0, seconds=math.nan), record(1, 0.8, 1e3, seconds=30.0))
    assert "30 s" in "".join(read(front).text)

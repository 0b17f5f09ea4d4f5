import json
import math

import pytest

from autocompress.errors import UnknownName
from autocompress.explore.record import Status, TrialRecord


def test_a_record_survives_json_whatever_its_metrics():
    record = TrialRecord(
        number=3,
        status=Status.COMPLETE,
        candidate={"tasks": []},
        metrics={"accuracy": 0.5, "latency": math.nan},
        seed=7,
        seconds=1.5,
        digest="ab",
        origin="uniform",
        params={"fc1.scheme": "prune"},
        folder="trials/0003",
    )
    again = TrialRecord.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert math.isnan(again.metrics.pop("latency"))
    record.metrics.pop("latency")
    assert again == record


def test_keys_of_a_newer_version_are_ignored():
    data = TrialRecord(0, Status.TIMEOUT).to_dict() | {"colour": "red"}
    assert TrialRecord.from_dict(data) == TrialRecord(0, Status.TIMEOUT)


def test_plain_strings_become_statuses_and_wrong_ones_are_refused():
    assert TrialRecord(0, "diverged").status is Status.DIVERGED
    with pytest.raises(UnknownName, match="crashed"):
        TrialRecord(0, "crashd")
    with pytest.raises(UnknownName, match="uniform"):
        TrialRecord(0, "complete", origin="unifrm")


def test_every_status_is_live_or_finished_and_only_accidents_are_failures():
    live = {s for s in Status if not s.finished}
    assert live == {Status.WAITING, Status.RUNNING}
    assert {s for s in Status if s.failed} == {"diverged", "out_of_memory", "timeout", "crashed"}

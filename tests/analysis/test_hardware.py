from autocompress.analysis.hardware import timed_apart
from autocompress.explore.record import Status, TrialRecord

HERE = {"cpu": "Xeon", "system": "Linux x86_64", "torch": "2.15", "threads": "1"}
THERE = {**HERE, "gpu": "H200"}


def record(number, hardware, **metrics):
    return TrialRecord(number, Status.COMPLETE, metrics=metrics, hardware=hardware)


def test_trials_timed_on_different_machines_are_told():
    timed = [record(n, HERE, latency=1.0) for n in range(7)] + [record(7, THERE, latency=1.0)]
    assert timed_apart(timed, ["accuracy", "bytes"]) == []
    (line,) = timed_apart(timed, ["accuracy", "latency"])
    assert line == (
        "latency was measured on 2 different machines, whose times cannot be compared: "
        "Xeon, Linux x86_64, torch 2.15: trials 0, 1, 2, 3, 4 and 2 others; "
        "Xeon, H200, Linux x86_64, torch 2.15: trial 7"
    )
    assert timed_apart([*timed[:7], record(8, THERE, bytes=1.0)], ["latency"]) == []
    assert timed_apart([*timed[:7], record(8, {}, latency=1.0)], ["latency"]) == []


def test_so_is_a_reference_timed_elsewhere():
    timed = [record(0, HERE, latency=1.0)]
    (line,) = timed_apart(timed, ["latency"], THERE)
    assert "of the uncompressed model was measured on another machine" in line
    assert "H200" in line
    other_threads = {**HERE, "threads": "2"}  # latency has a setting of its own for them
    assert timed_apart(timed, ["latency"], other_threads) == []
    assert timed_apart([], ["latency"], THERE) == []

"""A made-up network whose error rises by a factor of e over half a power of e in size."""

import math

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from autocompress.explore.proposals.onesided import OneSided
from autocompress.explore.proposals.path import Path, Point
from autocompress.explore.proposals.trend import Requirement
from autocompress.explore.record import Status, TrialRecord

DOMAINS = {"a": FloatDistribution(0.0, 1.0), "b": FloatDistribution(0.0, 1.0)}
LOW, HIGH = math.log(2e3), math.log(2e5)
REQUIRED = Requirement("accuracy", True, 0.977, fraction=True)


def judge(params):
    place = LOW + (HIGH - LOW) * (params["a"] + params["b"]) / 2
    return Point(dict(params), math.exp(place), math.exp(-place))


def accuracy(size, threshold, noise=0.0):
    error = 0.018 + 0.005 * math.exp(-2 * math.log(size / threshold)) + noise
    return 1 - min(max(error, 0.0), 0.9)


def make(**more):
    points = [judge({"a": x, "b": x}) for x in np.linspace(0, 1, 12)]
    return OneSided(Path.make(points, DOMAINS), REQUIRED, "bytes", judge, **more)


def record(number, params, threshold, *, noise=0.0, **more):
    size = judge(params).size
    metrics = {"accuracy": accuracy(size, threshold, noise), "bytes": size + 50}
    values = {"status": Status.COMPLETE, "candidate": {}, "params": params, "metrics": metrics}
    return TrialRecord(number, **{**values, "origin": "target", "seconds": 1.0, **more})


def run(search, threshold, trials, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    records = []
    while len(records) < trials and not search.enough(records):
        proposal = search.propose(len(records), records)
        if proposal is None:
            break
        assert proposal.origin == "target"
        wobble = noise * rng.standard_normal()
        records.append(record(len(records), proposal.params, threshold, noise=wobble))
    return records


def smallest(records):
    reached = [r for r in records if REQUIRED.met(r.metrics["accuracy"])]
    return min((r.metrics["bytes"] - 50 for r in reached), default=math.inf)


@pytest.mark.parametrize("threshold", [2.5e3, 8e3, 3e4, 1.2e5])
@pytest.mark.parametrize("start", [None, 0.7, 2.0])
def test_ten_trials_come_within_a_few_percent(threshold, start):
    start = None if start is None else math.log(threshold) + start
    records = run(make(start=start), threshold, 10)
    assert 1 <= smallest(records) / threshold < 1.05
    assert len({str(r.params) for r in records}) == len(records)


def test_the_first_one_is_near_where_no_training_is_needed():
    start = math.log(2e4)
    first = make(start=start).propose(0, [])
    assert 0.3 < judge(first.params).size / 2e4 < 2


def test_noise_costs_little():
    worst = [smallest(run(make(), 1.5e4, 10, noise=0.0007, seed=seed)) for seed in range(2)]
    assert np.median(worst) / 1.5e4 < 1.1


def test_it_depends_on_the_stored_trials_alone():
    records = run(make(), 8e3, 7)
    for number in range(7):
        again = make().propose(number, records[:number])
        assert again.params == records[number].params


def test_it_ends_when_there_is_little_left_to_gain():
    records = run(make(), 8e3, 60)
    assert 8 <= len(records) < 40
    assert 1 <= smallest(records) / 8e3 < 1.02
    patient = run(make(patience=None), 8e3, len(records) + 2)
    assert len(patient) == len(records) + 2


def test_a_target_nothing_reaches_is_given_up_soon():
    records = run(make(), 1e9, 60)
    assert max(judge(r.params).size for r in records) == pytest.approx(2e5)
    assert 3 <= len(records) < 15


def test_trials_that_are_running_are_not_proposed_again():
    search = make()
    records = run(search, 8e3, 4)
    running = search.propose(4, records)
    waiting = TrialRecord(4, Status.RUNNING, {}, params=running.params, origin="target")
    other = search.propose(5, [*records, waiting])
    assert other.params != running.params


def test_failures_say_the_candidate_is_too_small_and_crashes_say_nothing():
    search = make()
    first = search.propose(0, [])
    failed = record(0, first.params, 8e3, status=Status.DIVERGED, metrics={})
    crashed = record(0, first.params, 8e3, status=Status.CRASHED, metrics={})
    larger = judge(search.propose(1, [failed]).params).size
    same = judge(search.propose(1, [crashed]).params).size
    assert larger > judge(first.params).size
    assert same == pytest.approx(judge(first.params).size, rel=0.05)


def test_trials_of_others_count():
    search = make()
    records = [record(0, {"a": 0.3, "b": 0.5}, 8e3, origin="given")]
    seen = search.seen(records)
    assert len(seen.at) == 1
    assert seen.off[0] == 1
    assert seen.offset == pytest.approx(50)


def test_a_search_ends_when_nothing_smaller_is_left():
    search = make(patience=None)
    smallest_of_all = search.path.points[0].params
    records = [record(0, smallest_of_all, 1.0)]
    assert search.propose(1, records) is None
    assert search.enough(records)


def test_nothing_is_likelier_than_what_is_larger():
    search = make()
    places = [0.5, 0.52, 0.55, 0.6]
    records = [record(i, {"a": x, "b": x}, 2.5e4, noise=0.0) for i, x in enumerate(places)]
    assert not REQUIRED.met(records[0].metrics["accuracy"])
    assert REQUIRED.met(records[-1].metrics["accuracy"])
    proposed = judge(search.propose(4, records).params).size
    assert judge(records[0].params).size * 0.9 < proposed < judge(records[-1].params).size

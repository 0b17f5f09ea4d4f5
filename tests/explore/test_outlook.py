import numpy as np
import pytest

from autocompress.compression import L1Penalty, Prune
from autocompress.explore.outlook import FEWEST, Outlook, Way, step_of, way_of
from autocompress.explore.record import Status, TrialRecord
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Candidate, Direct, MuSchedule


def candidate(steps=4, scheme=None):
    plan = Plan([Task("all", "weight", scheme or Prune(0.5))])
    return Candidate(plan, LC(mu=MuSchedule(steps=steps)))


def way(accuracies, *, steps=None, bits=800):
    made = Way(steps=len(accuracies) - 1 if steps is None else steps)
    for accuracy in accuracies:
        made.advance(accuracy, 2 * (1 - accuracy), bits)
    return made


def learnt(ways):
    outlook = Outlook()
    for each in ways:
        outlook.learn(each)
    return outlook


def test_steps_at_a_fraction():
    assert [step_of(0.25, 8), step_of(0.3, 10), step_of(0.25, 10), step_of(0.0, 10)] == [2, 3, 3, 0]


def test_the_best_step_counts_unless_the_scheme_is_penalized():
    course = [(0.3, 1.0, 8), (0.9, 0.5, 7), (0.9, 0.4, 6), (0.5, 0.1, 5)]
    assert Way.of(candidate(), course).stands[-1] == (0.9, 0.4, 6)
    assert Way.of(candidate(scheme=L1Penalty(alpha=0.1)), course).stands[-1] == (0.5, 0.1, 5)
    direct = Way.of(Candidate(candidate().plan, Direct()), course[:1])
    assert (direct.steps, direct.at(0.7)) == (0, course[0])


def test_too_few_or_nothing_that_is_finite_tells_nothing():
    done = [0.2, 0.4, 0.6, 0.8]
    few = learnt(way(done) for _ in range(FEWEST - 1))
    assert few.foresee(way(done[:2], steps=3)) is None
    few.learn(way([0.2, float("nan"), float("nan")]))  # its best step is the first
    assert few.foresee(way(done[:2], steps=3)) is not None
    assert few.foresee(way([float("nan")] * 2, steps=3)) is None
    assert few.foresee(way([], steps=3)) is None
    assert few.foresee(way([0.5], steps=0)) is None


def test_what_is_like_all_others_ends_like_them():
    outlook = learnt(way([0.2, 0.4, 0.6, 0.8]) for _ in range(10))
    found = outlook.foresee(way([0.2, 0.4], steps=3))
    assert found.metrics() == pytest.approx({"accuracy": 0.8, "error": 0.2, "loss": 0.4})
    assert found.spread == pytest.approx((0, 0), abs=1e-12)
    assert outlook.foresee(way([0.2, 0.4, 0.6, 0.8])).metrics()["error"] == pytest.approx(0.2)


def test_those_of_about_the_same_size_and_error_tell():
    early = [way([0.2, 0.8, 0.8, 0.8], bits=100) for _ in range(8)]
    late = [way([0.2, 0.2, 0.2, 0.9], bits=900) for _ in range(8)]
    outlook = learnt([*early, *late])
    small = outlook.foresee(way([0.2, 0.8], steps=3, bits=110)).metrics()["accuracy"]
    large = outlook.foresee(way([0.2, 0.2], steps=3, bits=850)).metrics()["accuracy"]
    assert small == pytest.approx(0.8, abs=0.01)
    assert large == pytest.approx(0.9, abs=0.01)


def test_trials_of_other_lengths_are_compared_at_the_same_fraction():
    outlook = learnt(way(np.linspace(0, 0.9, steps + 1)) for steps in (4, 8, 12, 16) * 3)
    found = outlook.foresee(way(np.linspace(0, 0.9, 21)[:6], steps=20))
    assert found.metrics()["accuracy"] == pytest.approx(0.9, abs=0.01)


def test_what_ended_before_its_last_step_stands_where_it_ended():
    outlook = learnt(way([0.2, 0.7], steps=10) for _ in range(8))
    found = outlook.foresee(way([0.2, *[0.5] * 5], steps=10))
    assert found.metrics()["accuracy"] == pytest.approx(0.5, abs=1e-6)


def test_spread_is_that_of_trials_alike_and_optimism_counts_in_it():
    rng = np.random.default_rng(0)
    ends = 0.7 + 0.2 * rng.random(20)
    outlook = learnt(way([0.2, 0.5, end]) for end in ends)
    found = outlook.foresee(way([0.2, 0.5], steps=2))
    likely, hoped = found.metrics()["error"], found.metrics(1.0)["error"]
    assert 1 - ends.max() < hoped < likely < 1 - ends.min()
    assert found.metrics(1.0)["loss"] < found.metrics()["loss"]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_ends_far_below_the_best_or_out_of_range(seed):
    rng = np.random.default_rng(seed)
    ways = [way(np.sort(rng.random(5)), bits=int(rng.integers(1, 1000))) for _ in range(30)]
    outlook = learnt(ways)
    best = min(1 - each.stands[-1][0] for each in ways)
    for each in ways:
        found = outlook.foresee(way([s[0] for s in each.stands[:3]], steps=4)).metrics(3.0)
        assert 0 <= found["error"] <= 1
        assert found["accuracy"] == 1 - found["error"]
        assert outlook.foresee(each).metrics()["error"] >= 0.5 * best - 1e-3


def test_stored_trials():
    stored = candidate().to_dict()
    record = TrialRecord(0, Status.COMPLETE, stored, course=((0.1, 2.0, 9), (0.5, 1.0, 8)))
    assert way_of(record).stands == [(0.1, 2.0, 9), (0.5, 1.0, 8)]
    assert way_of(TrialRecord(1, Status.COMPLETE, stored)) is None
    assert way_of(TrialRecord(2, Status.WAITING)) is None


def test_a_pessimist_is_never_out_of_range():
    outlook = learnt(way([0.2, 0.2 + n / 20]) for n in range(10))
    outlook.learn(Way(1, stands=[(0.2, 1e30, 8), (0.2, 1e-3, 8)]))
    found = outlook.foresee(way([0.1], steps=1)).metrics(-1e6)
    assert found["error"] == 1.0
    assert found["loss"] < 1e22

import numpy as np
import pytest
from torch import nn

from autocompress.compression import L1Penalty, Prune
from autocompress.errors import ConfigError
from autocompress.explore.halving import (
    Halver,
    Halving,
    check,
    crowding,
    step_of,
    survives,
)
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.lc import StepRecord
from autocompress.metrics import METRICS, Metric
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Candidate, Direct, MuSchedule

MODEL = nn.Linear(10, 4)
GOALS = Objectives(
    "toy", (Objective("accuracy", "maximize"), Objective("bytes", "minimize", scale="log"))
)


def candidate(steps=10, scheme=None):
    plan = Plan([Task("all", "weight", scheme or Prune(0.5))])
    return Candidate(plan, LC(mu=MuSchedule(steps=steps)))


def step(number, accuracy, bits=800, loss=None):
    loss = 1 - accuracy if loss is None else loss
    return StepRecord(number, 1.0, int(number > 0), 0.0, 0.1, loss, accuracy, bits, 0.0)


def told(halver, number, accuracies, *, steps=10, bits=800):
    """Run a trial; return the step it is stopped after, None if it never is."""
    halver.begin(number, candidate(steps))
    stopped = None
    for i, accuracy in enumerate(accuracies):
        if halver.step(number, step(i, accuracy, bits)):
            stopped = i
            break
    status = Status.COMPLETE if stopped is None else Status.PRUNED
    halver.end(TrialRecord(number, status))
    return stopped


def line(last, steps=10):
    return list(np.linspace(0.1, last, steps + 1))


def naive(points, eta):
    """The place of the last point, by the definitions."""
    left, own, before = list(range(len(points))), len(points) - 1, 0

    def dominates(a, b):
        return (points[a] <= points[b]).all() and (points[a] < points[b]).any()

    while True:
        front = [i for i in left if not any(dominates(j, i) for j in left)]
        if own in front:
            break
        before += len(front)
        left = [i for i in left if i not in front]
    return before == 0 or before / len(points) < 1 / eta


def test_the_rungs_are_spread_from_the_grace_period_to_the_end():
    assert Halving(grace=0.25, rungs=3).fractions() == pytest.approx((0.25, 0.5, 0.75))
    brackets = Halving(grace=0.2, rungs=4, brackets=2)
    assert brackets.fractions(1) == pytest.approx((0.6, 0.8))
    assert step_of(0.25, 8) == 2
    assert step_of(0.3, 10) == 3
    assert step_of(0.25, 10) == 3
    assert step_of(0.0, 10) == 0


@pytest.mark.parametrize(
    ("key", "value"), [("eta", 1), ("grace", 1), ("grace", -0.1), ("rungs", 0), ("brackets", 0)]
)
def test_settings_that_make_no_sense_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"Halving.{key} = "):
        Halving(**{key: value})


@pytest.mark.parametrize("seed", range(20))
def test_ranking_agrees_with_the_definition_wherever_crowding_does_not_decide(seed):
    points = np.random.default_rng(seed).normal(size=(30, 2))
    if naive(points, 3):
        # a trial of the rank in which the last survivor lies may yet fall to crowding
        assert survives(points, 3) or not naive(points, 30)
    else:
        assert not survives(points, 3)


def test_what_nothing_dominates_goes_on_whatever_its_place():
    front = np.array([[i, 10.0 - i] for i in range(11)])
    assert all(survives(np.roll(front, shift, axis=0), 1000) for shift in range(11))


def test_crowding_prefers_the_ends_and_then_the_lonely():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [1.1, 2.9], [4.0, 0.0]])
    distances = crowding(points)
    assert np.isinf(distances[[0, 3]]).all()
    assert distances[2] > distances[1]
    assert not crowding(np.ones((3, 2)))[1]


def test_a_trial_behind_others_of_its_size_is_stopped_at_its_first_rung():
    halver = Halver(Halving(eta=2, grace=0.3, rungs=3), GOALS, MODEL)
    for number in range(8):
        assert told(halver, number, line(0.9)) is None
    assert told(halver, 10, line(0.5)) == 3
    assert told(halver, 11, line(0.99)) is None


def test_nothing_is_stopped_before_eight_have_ended():
    halver = Halver(Halving(eta=2), GOALS, MODEL)
    assert told(halver, 0, line(0.9)) is None
    for number in range(1, 8):
        assert told(halver, number, line(0.3)) is None
    assert told(halver, 8, line(0.2)) == 2


def test_those_that_win_back_late_are_not_stopped_for_those_that_do_early():
    halver = Halver(Halving(eta=2), GOALS, MODEL)
    early, late = [0.1, *[0.9] * 10], [0.1, *[0.2] * 8, 0.9, 0.95]
    for number in range(8):
        assert told(halver, number, early) is None or number
    for number in range(8, 16):  # about as good from the start, so never stopped
        told(halver, number, late, bits=700)
    assert told(halver, 20, late, bits=690) is None
    assert told(halver, 21, [0.1, *[0.15] * 10], bits=900) is not None


def test_what_will_count_for_nothing_is_stopped_though_nothing_dominates_it():
    worst = (
        Objective("accuracy", "maximize", worst=0.5),
        Objective("bytes", "minimize", worst=1e3),
    )
    halver = Halver(Halving(grace=0.5, rungs=1), Objectives("toy", worst), MODEL)
    unresolved = Halver(Halving(grace=0.5, rungs=1), GOALS, MODEL)
    for each in (halver, unresolved):
        for number in range(8):
            assert told(each, number, line(0.4 + number / 100)) is None
    assert told(halver, 8, line(0.3), bits=80) == 5
    assert told(unresolved, 8, line(0.3), bits=80) is None
    assert told(halver, 9, line(1.0), bits=80) is None


def test_a_small_trial_is_not_stopped_for_the_accuracy_of_large_ones():
    halver = Halver(Halving(eta=2), GOALS, MODEL)
    for number in range(8):
        assert told(halver, number, line(0.2), bits=80) is None
    for number in range(8, 20):
        told(halver, number, line(0.9))
    assert told(halver, 20, line(0.25), bits=80) is None
    assert told(halver, 21, line(0.15), bits=80) == 0


def test_trials_are_compared_at_the_same_fraction_of_their_steps():
    halver = Halver(Halving(eta=2, grace=0.5, rungs=1), GOALS, MODEL)
    for number in range(8):
        told(halver, number, line(0.9, 4), steps=4)  # 0.5 after two of four steps
    assert told(halver, 10, line(0.91, 20), steps=20) is None
    assert told(halver, 11, line(0.89, 20), steps=20) == 10


def test_the_best_step_counts_unless_the_scheme_is_penalized():
    for scheme, expected in ((Prune(0.5), False), (L1Penalty(alpha=0.1), True)):
        halver = Halver(Halving(eta=2, grace=0.5, rungs=1), GOALS, MODEL)
        for number in range(8):
            told(halver, number, line(0.9, 2), steps=2)
        halver.begin(12, candidate(4, scheme))
        for i, accuracy in enumerate((0.3, 0.95)):
            assert not halver.step(12, step(i, accuracy))
        assert halver.step(12, step(2, 0.2)) is expected


def test_the_last_step_is_never_judged_nor_is_a_trial_without_steps():
    halver = Halver(Halving(eta=2, grace=0.9, rungs=1), GOALS, MODEL)
    for number in range(4):
        told(halver, number, line(0.9))
    assert told(halver, 4, line(0.2, 1), steps=1) is None
    halver.begin(5, Candidate(candidate().plan, Direct()))
    assert not halver.step(5, step(0, 0.1))


def test_later_brackets_begin_later():
    halver = Halver(Halving(eta=2, grace=0.1, rungs=9, brackets=3), GOALS, MODEL, seed=1)
    for number in range(8):
        told(halver, number, line(0.9))
    stops = {told(halver, number, line(0.5 - number / 100)) for number in range(10, 40)}
    assert stops == {1, 4, 7}


def test_values_that_are_not_finite_are_not_compared():
    halver = Halver(Halving(eta=2), GOALS, MODEL)
    for number in range(8):
        told(halver, number, [float("nan")] * 11)
    assert told(halver, 10, line(0.5)) is None
    assert told(halver, 11, [float("nan")] * 11) is None


def test_built_from_records_it_decides_the_same():
    settings = Halving(eta=2, grace=0.2, rungs=4, brackets=2)
    rng = np.random.default_rng(0)
    whole, records = Halver(settings, GOALS, MODEL, seed=3), []
    for number in range(30):
        plan, bits = candidate(int(rng.integers(4, 12))), int(rng.integers(100, 900))
        steps = [step(i, a, bits) for i, a in enumerate(rng.random(plan.recipe.mu.steps + 1))]
        again = Halver(settings, GOALS, MODEL, seed=3, records=records)
        for halver in (whole, again):
            halver.begin(number, plan)
        verdicts = []
        for record in steps:
            verdicts.append(whole.step(number, record))
            assert again.step(number, record) is verdicts[-1]
            if verdicts[-1]:
                break
        course = tuple((s.val_accuracy, s.val_loss, s.bits) for s in steps[: len(verdicts)])
        status = Status.PRUNED if verdicts[-1] else Status.COMPLETE
        records.append(TrialRecord(number, status, plan.to_dict(), course=course))
        whole.end(records[-1])
    assert {record.status for record in records} == {Status.PRUNED, Status.COMPLETE}


def test_other_free_metrics_are_asked_for_once_a_trial():
    goals = Objectives("toy", (Objective("loss", "minimize"), Objective("flops", "minimize")))
    asked = []

    def free(plan):
        asked.append(plan)
        return {"flops": 100.0}

    halver = Halver(Halving(eta=2), goals, MODEL, free=free)
    for number in range(8):
        told(halver, number, line(0.9))
    assert told(halver, 10, line(0.5)) == 2
    assert len(asked) == 9


def test_an_objective_that_only_complete_trials_have_is_refused():
    slow = Objectives("toy", (*GOALS.items, Objective("latency", "minimize")))
    with pytest.raises(ConfigError, match="halving: objective 'latency' is not known while"):
        check(slow)
    check(GOALS)
    own = Metric("energy", lambda m: 0.0, free=True)
    check(Objectives("own", (Objective("energy", "minimize"),)), METRICS | {"energy": own})

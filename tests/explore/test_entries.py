import json
import math

import optuna
import pytest
from optuna.trial import TrialState

from autocompress import LC
from autocompress.compression import Prune
from autocompress.explore.entries import (
    PENDING,
    RESULT,
    PendingTrial,
    judge,
    outcome,
    read_record,
    result_of,
)
from autocompress.explore.record import Status
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate
from tests.explore.toys import OBJECTIVES

CANDIDATE = Candidate(Plan([Task("a", ["fc1.weight"], Prune(0.1))]), LC())
PENDING_TRIAL = PendingTrial(0, CANDIDATE, "d1", 7, "uniform", {"x": 0.5})
GOOD = {"accuracy": 0.9, "bytes": 100.0}


def frozen(**values):
    plain = {
        "state": TrialState.RUNNING,
        "params": {"x": 0.5},
        "distributions": {"x": optuna.distributions.FloatDistribution(0, 1)},
        "user_attrs": {PENDING: json.loads(json.dumps(PENDING_TRIAL.to_dict()))},
    }
    trial = optuna.trial.create_trial(**(plain | values))
    trial.number = 0
    return trial


def test_a_pending_trial_is_read_back_whole():
    assert PendingTrial.read(frozen()) == PENDING_TRIAL
    assert read_record(frozen()) == PENDING_TRIAL.record()


def test_a_result_is_read_back_whole():
    record = PENDING_TRIAL.record(Status.TIMEOUT, {"a": 1.0}, seconds=3, message="m", folder="f")
    stored = json.loads(json.dumps(result_of(record), allow_nan=False))
    attrs = {PENDING: PENDING_TRIAL.to_dict(), RESULT: stored}
    assert read_record(frozen(state=TrialState.FAIL, user_attrs=attrs)) == record


def test_waiting_trials_show_the_parameters_they_will_have():
    trial = frozen(
        state=TrialState.WAITING,
        params={},
        distributions={},
        user_attrs={"origin": "dense"},
        system_attrs={"fixed_params": {"x": 1.0}},
    )
    record = read_record(trial)
    assert (record.status, record.origin, record.params) == (Status.WAITING, "dense", {"x": 1.0})
    assert record.candidate is None


def test_a_trial_somebody_else_ended_is_a_crash():
    record = read_record(frozen(state=TrialState.FAIL))
    assert record.status is Status.CRASHED
    assert "outside" in record.message


@pytest.mark.parametrize(
    ("status", "metrics", "state"),
    [
        (Status.COMPLETE, GOOD, TrialState.COMPLETE),
        (Status.INFEASIBLE, GOOD, TrialState.COMPLETE),
        (Status.INFEASIBLE, {"bytes": 100.0}, TrialState.PRUNED),
        (Status.COMPLETE, {"accuracy": math.nan, "bytes": 1.0}, TrialState.FAIL),
        (Status.COMPLETE, {"accuracy": 0.5}, TrialState.FAIL),
        (Status.PRUNED, GOOD, TrialState.PRUNED),
        (Status.DIVERGED, {}, TrialState.PRUNED),
        (Status.OUT_OF_MEMORY, {}, TrialState.PRUNED),
        (Status.TIMEOUT, {}, TrialState.PRUNED),
        (Status.CRASHED, {}, TrialState.FAIL),
    ],
)
def test_samplers_are_told_what_a_result_says_of_its_candidate(status, metrics, state):
    found, values = outcome(PENDING_TRIAL.record(status, metrics), OBJECTIVES)
    assert found is state
    if state is TrialState.COMPLETE:
        assert values == pytest.approx([0.9, 2.0])  # log10 of 100 bytes, accuracy not negated
    else:
        assert values is None


def test_complete_trials_beyond_a_limit_are_infeasible_and_say_why():
    limited = OBJECTIVES.with_limits({"bytes": 50.0, "accuracy": 0.95})
    record = judge(PENDING_TRIAL.record(Status.COMPLETE, GOOD, message="slow"), limited)
    assert record.status is Status.INFEASIBLE
    assert record.message == (
        "accuracy 0.9 is below the limit 0.95; bytes 100 is above the limit 50; slow"
    )
    assert record.metrics == GOOD
    pruned = PENDING_TRIAL.record(Status.PRUNED, GOOD)
    assert judge(pruned, limited) == pruned
    complete = PENDING_TRIAL.record(Status.COMPLETE, GOOD)
    assert judge(complete, OBJECTIVES) == complete


def test_a_start_is_read_back_and_studies_without_any_are_read():
    pending = PendingTrial(0, CANDIDATE, "d1", 7, "uniform", {"x": 0.5}, start=3)
    stored = json.loads(json.dumps(pending.to_dict()))
    assert PendingTrial.read(frozen(user_attrs={PENDING: stored})) == pending
    assert read_record(frozen(user_attrs={PENDING: stored})).start == 3
    assert "start" not in PENDING_TRIAL.to_dict()  # as before there were any
    assert PendingTrial.read(frozen()).start is None

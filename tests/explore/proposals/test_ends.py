import numpy as np
import pytest

from autocompress.compression import Prune
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.proposals.ends import Ends
from autocompress.explore.record import Status, TrialRecord
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Candidate, MuSchedule

GOALS = Objectives(
    "toy", (Objective("accuracy", "maximize"), Objective("bytes", "minimize", scale="log"))
)
CANDIDATE = Candidate(Plan([Task("all", "weight", Prune(0.5))]), LC(mu=MuSchedule(steps=4)))


def trial(number, accuracies, status=Status.COMPLETE):
    course = tuple((a, 1 - a, 800) for a in accuracies)
    metrics = {"accuracy": max(accuracies), "bytes": 100.0}
    return TrialRecord(number, status, CANDIDATE.to_dict(), metrics, course=course)


def test_stopped_trials_end_where_those_like_them_did():
    done = [trial(n, [0.2, 0.3, 0.5, 0.7, 0.8 + n / 1000]) for n in range(10)]
    stopped = [trial(10, [0.2, 0.3], Status.PRUNED), trial(11, [0.1, 0.2], Status.PRUNED)]
    ends, spread = Ends(GOALS)(stopped, [*done, *stopped])
    assert ends[0, 0] == pytest.approx(-0.805, abs=0.01)
    assert 0 < spread[0, 0] < 0.02
    assert ends[0, 0] < ends[1, 0] < -0.7
    assert (ends[:, 1] == 2.0).all()
    assert (spread[:, 1] == 0).all()


def test_without_enough_of_them_they_end_where_they_stopped():
    stopped = [trial(5, [0.2, 0.3], Status.PRUNED)]
    ends, spread = Ends(GOALS)(stopped, [trial(n, [0.2, 0.9]) for n in range(5)])
    assert np.array_equal(ends, [[-0.3, 2.0]])
    assert not spread.any()
    assert Ends(GOALS)([], [])[0].shape[0] == 0

import copy

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from autocompress.errors import RunError
from autocompress.explore.database import Database
from autocompress.explore.mirror import QUEUE, Mirror, make_queue
from autocompress.explore.rows import Rows


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/a.db"


@pytest.fixture
def mirror(url):
    database = Database(url)
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    return Mirror(database, database.create_new_study(directions, "s"), RandomSampler(seed=0))


def again(url):
    return Mirror(Database(url), 1, RandomSampler(seed=0))


def ask(mirror):
    with mirror.asking() as trial:
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("kind", ["a", "b"])
        trial.set_user_attr("note", [1, 2])
    return trial.number


def seen(trials):
    return copy.deepcopy(
        [
            (t.number, t.state, t.params, t.values, t.user_attrs, t.constraints, t.distributions)
            for t in trials
        ]
    )


def test_memory_and_database_agree_after_every_change(mirror, url):
    number = ask(mirror)
    assert seen(mirror.trials()) == seen(again(url).trials())
    mirror.finish(number, {"result": 1}, {"bytes": -0.5}, TrialState.COMPLETE, [0.5, 2.0])
    ask(mirror)
    assert seen(mirror.trials()) == seen(again(url).trials())
    stored = optuna.load_study(study_name="s", storage=url).get_trials()
    assert seen(stored) == seen(mirror.trials())
    assert stored[0].constraints == {"bytes": -0.5}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_trial_whose_asking_fails_never_was(mirror, url, error):
    ask(mirror)
    before = seen(mirror.trials())
    with pytest.raises(error), mirror.asking() as trial:  # noqa: PT012  # an error in its middle
        trial.suggest_float("x", 0, 1)
        raise error
    assert seen(mirror.trials()) == seen(again(url).trials()) == before
    assert ask(mirror) == 1


def test_a_result_that_cannot_be_stored_was_not_told(mirror, url, monkeypatch):
    number = ask(mirror)
    before = seen(mirror.trials())
    with monkeypatch.context() as patch:

        def fail(*args):
            raise KeyboardInterrupt

        patch.setattr(Rows, "_insert", fail)
        with pytest.raises(KeyboardInterrupt):
            mirror.finish(number, {"result": 1}, {"c": 1.0}, TrialState.FAIL, None)
    assert seen(mirror.trials()) == seen(again(url).trials()) == before
    mirror.finish(number, {"result": 2}, {"c": 2.0}, TrialState.FAIL, None)
    (trial,) = again(url).trials()
    assert (trial.user_attrs["result"], trial.constraints) == (2, {"c": 2.0})


def test_enqueued_parameters_come_first_and_survive(mirror, url):
    mirror.enqueue({"x": 0.25, "kind": "b"}, {"origin": "dense"})
    mirror.enqueue({"x": 0.75, "kind": "a"}, {"origin": "uniform"})
    assert ask(mirror) == 0
    resumed = again(url)
    assert [t.state for t in resumed.trials()] == [TrialState.RUNNING, TrialState.WAITING]
    assert ask(resumed) == 1
    assert [t.params["x"] for t in resumed.trials()] == [0.25, 0.75]
    assert [t.user_attrs["origin"] for t in resumed.trials()] == ["dense", "uniform"]
    assert ask(resumed) == 2
    resumed.enqueue({"x": 0.5, "kind": "a"}, {})
    assert ask(again(url)) == 3
    assert again(url).trials()[3].params["x"] == 0.5


def test_a_queue_may_be_there_from_the_start(url):
    database = Database(url)
    study = database.create_new_study([StudyDirection.MINIMIZE], "s")
    database.set_study_user_attr(study, QUEUE, make_queue([({"x": 0.5}, {"origin": "dense"})]))
    with Mirror(database, study, RandomSampler()).asking() as trial:
        assert trial.suggest_float("x", 0, 1) == 0.5
        assert trial.user_attrs == {"origin": "dense"}


def test_two_writers_are_noticed(mirror, url):
    other = again(url)
    ask(other)
    with pytest.raises(RunError, match="another process"):
        ask(mirror)
    assert ask(mirror) == 1  # having read what the other one did


@pytest.mark.parametrize("number", [1, 99])
def test_only_running_trials_can_be_told(mirror, number):
    assert [ask(mirror), ask(mirror)] == [0, 1]
    mirror.finish(1, {}, {}, TrialState.FAIL, None)
    with pytest.raises(RunError, match=f"trial {number} cannot be told: it is not running"):
        mirror.finish(number, {}, {}, TrialState.FAIL, None)

import copy
import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from autocompress.explore.database import Database

DISTRIBUTIONS = {
    "kind": CategoricalDistribution(["prune", None, 3, True]),
    "density": FloatDistribution(1e-3, 1.0, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.25),
    "bits": IntDistribution(1, 8),
}


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/a.db")
    study = optuna.create_study(storage=made, directions=["minimize", "maximize"])
    for number in range(4):
        trial = create_trial(
            state=TrialState.COMPLETE,
            values=[math.inf if number == 1 else number, -math.inf if number == 2 else 0.1],
            params={"kind": [None, 3, True, "prune"][number], "density": 0.1, "step": 0.25},
            distributions={k: DISTRIBUTIONS[k] for k in ("kind", "density", "step")},
            user_attrs={"pending": {"a": [1, None, "é"]}},
            system_attrs={"constraints": [0.5]},
        )
        study.add_trial(trial)
    study.enqueue_trial({"bits": 3}, user_attrs={"origin": "x"})
    study.ask({"bits": DISTRIBUTIONS["bits"]})
    study.tell(study.ask(), state=TrialState.PRUNED)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({"bits": 5})
    optuna.create_study(storage=made, study_name="another").ask(DISTRIBUTIONS)
    yield made, study._study_id
    made.engine.dispose()


def test_what_is_read_is_what_optuna_reads(database):
    made, study = database
    with made.engine.connect() as connection:
        found = made.rows.read(connection, study)
    expected = made.get_all_trials(study)
    assert [dict(trial.__dict__) for trial in found] == [dict(t.__dict__) for t in expected]
    assert [list(trial.params) for trial in found] == [list(t.params) for t in expected]
    assert {type(trial) for trial in copy.deepcopy(found)} == {type(expected[0])}


def test_a_trial_added_from_it_can_go_on_without_changing_it(database):
    made, study = database
    with made.engine.connect() as connection:
        running = made.rows.read(connection, study)[4]
    assert running.state == TrialState.RUNNING
    memory = optuna.create_study(directions=["minimize", "maximize"])
    memory.add_trial(running)
    trial = optuna.trial.Trial(memory, memory.trials[0]._trial_id)
    trial.set_user_attr("more", 1)
    trial.suggest_float("density", 0.1, 1.0)
    memory.tell(trial, [1.0, 2.0])
    assert memory.trials[0].user_attrs == {"origin": "x", "more": 1}
    assert (running.user_attrs, running.params) == ({"origin": "x"}, {"bits": 3})

"""Studies of spaces with constraints: broken ones are never run, and the sampler hears of it."""

import pytest

from autocompress.errors import UnknownName
from autocompress.explore.record import Status
from autocompress.explore.seeding import make_seeds
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from tests.explore.toys import LAYERS, NET, VARIED, metrics, new_study, run, space

EQUAL = "conv1.scheme == conv2.scheme"
SPACE = SearchSpace.from_dict(space(VARIED).to_dict() | {"constraints": [EQUAL]})


def equal(record):
    return record.params["conv1.scheme"] == record.params["conv2.scheme"]


def test_broken_candidates_are_asked_for_and_answered_without_running(tmp_path):
    study = new_study(tmp_path / "run", space=SPACE, seeds=False)
    for _ in range(10):
        run(study, study.ask())
    study.close()
    with Study.load(tmp_path / "run", model=NET) as study:
        records = study.records()
        trials = study._mirror.trials()
    assert {equal(record) for record in records} == {True, False}
    for record, trial in zip(records, trials, strict=True):
        assert (record.status is Status.COMPLETE) is equal(record)
        if not equal(record):
            assert record.status is Status.INFEASIBLE
            assert record.message == f"constraint {EQUAL!r} is broken"
            assert (record.metrics, record.folder, record.candidate is None) == ({}, None, False)
        assert trial.constraints == ({} if equal(record) else {f"constraint {EQUAL}": 1.0})


def test_what_was_run_all_the_same_is_infeasible(tmp_path):
    study = new_study(tmp_path / "run", space=SPACE, seeds=False)
    pending = study.ask()
    while equal(pending):
        pending = study.ask()
    record = study.tell(pending.record(Status.COMPLETE, metrics(pending.digest)))
    assert record.status is Status.INFEASIBLE
    assert len(study.front()) == 0


SAME = """
layers:
  - match: [conv1]
    schemes: [{scheme: dense}, {scheme: prune, density: 1.0}]
constraints: [conv1.scheme != prune]
"""


def test_an_allowed_candidate_is_not_answered_by_an_equal_one_that_was_not_allowed(tmp_path):
    study = new_study(tmp_path / "run", space=space(SAME), seeds=False)
    by_scheme = {}
    while len(by_scheme) < 2:
        pending = study.ask()
        by_scheme.setdefault(pending.params["conv1.scheme"], pending)
    dense, prune = by_scheme["dense"], by_scheme["prune"]
    assert dense.digest == prune.digest
    assert study.answer(prune).status is Status.INFEASIBLE
    assert study.answer(dense) is None
    study.tell(dense.record(Status.COMPLETE, metrics(dense.digest)))
    again = study.ask()
    expected = again.params["conv1.scheme"] == "dense"
    assert (study.answer(again).status is Status.COMPLETE) is expected


def test_tpe_learns_to_keep_constraints(tmp_path):
    chosen = space(
        """
        layers:
          - match: fc1
            schemes: [{scheme: prune, density: {low: 0.01, high: 1}}]
        constraints: [fc1.density > 0.8]
        """
    )
    study = new_study(tmp_path / "run", space=chosen, seeds=False, sampler="tpe", trials=30)
    kept = [run(study, study.ask()).status is Status.COMPLETE for _ in range(30)]
    assert sum(kept[-10:]) >= 6


def test_seeds_keep_the_constraints():
    text = "conv2.scheme != prune"
    chosen = SearchSpace("s", SPACE.rules, SPACE.recipe, constraints=[text])
    allowed = make_seeds(chosen, LAYERS, 40)
    assert allowed
    assert len(allowed) == 10
    assert not [seed for seed in allowed if seed.params["conv2.scheme"] == "prune"]


def test_a_constraint_that_does_not_fit_the_model_starts_no_study(tmp_path):
    chosen = SearchSpace("s", SPACE.rules, SPACE.recipe, constraints=["conv7.scheme == dense"])
    with pytest.raises(UnknownName, match="conv7"):
        new_study(tmp_path / "run", space=chosen, seeds=False)
    assert not (tmp_path / "run" / "study.db").exists()

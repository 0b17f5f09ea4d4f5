"""Replays of real trials on digits; the run is made once."""

import dataclasses
import shutil

import pytest

import autocompress as ac
from autocompress import yamlio
from autocompress.config import Sweep
from autocompress.errors import RunError
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.study import Study
from autocompress.replaying import Row, _first_difference, _trial
from autocompress.runs import RunFolder
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.02, "high": 0.1, "log": True}}
SPACE = {
    "layers": [{"match": "*", "share": True, "schemes": [PRUNE]}],
    "recipe": {"mu": {"steps": 2}, "epochs_per_step": 1},
}
SETTINGS = {
    "space": SPACE,
    "trials": 5,
    "jobs": 0,
    "continuation": True,
    "sampler": "random",
    "seeding": "uniform",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits_cnn):
    out = tmp_path_factory.mktemp("replay") / "run"
    search(Sweep(**SETTINGS, out=out)).close()
    return out


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def records(path):
    with Study.load(path) as study:
        return study.records()


def started(path):
    """Return a trial that started from another one."""
    return next(r for r in records(path) if r.start is not None)


def test_a_trial_with_a_warm_start_comes_out_as_recorded(copy):
    before = records(copy)
    trial = started(copy)
    found = ac.replay(copy, trial.number)
    assert found.agrees
    assert found.first_difference is None
    assert {row.name for row in found.rows} >= {"accuracy", "bytes", "loss"}
    assert found.folder == copy / "replays" / f"{trial.number:04d}-1"
    theirs, ours = copy / trial.folder, found.folder
    name = "model.safetensors"
    assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert "starts from" in (ours / "log.txt").read_text()
    assert not (ours / "state.safetensors").exists()
    assert records(copy) == before
    assert ac.replay(copy, trial.number).folder.name == f"{trial.number:04d}-2"


def test_the_same_sweep_again_gives_the_same_study(made, tmp_path):
    search(Sweep(**SETTINGS, out=tmp_path / "again")).close()

    def values(path):
        return [dataclasses.replace(record, seconds=0.0) for record in records(path)]

    assert values(tmp_path / "again") == values(made)


def test_without_its_start_the_trial_differs_and_says_why(copy, tmp_path):
    trial = started(copy)
    warm = copy / f"trials/{trial.start:04d}" / "warm.safetensors"
    warm.write_bytes(b"nonsense")
    found = ac.replay(copy, trial.number, out=tmp_path / "elsewhere")
    assert not found.agrees
    assert found.result.message.startswith(f"cold start: {warm}")
    assert found.folder == tmp_path / "elsewhere"


def test_what_cannot_be_replayed_is_one_clear_error(copy, tmp_path):
    for number in (-1, 99):
        with pytest.raises(RunError, match=rf"no trial {number}: its trials are 0 to"):
            ac.replay(copy, number)
    with pytest.raises(RunError, match="choose another --out"):
        ac.replay(copy, 1, out=copy)
    with pytest.raises(RunError, match="no such run"):
        ac.replay(tmp_path / "nowhere", 1)
    text = (copy / "sweep.yaml").read_text()
    values = yamlio.loads(text)
    (copy / "sweep.yaml").write_text(text.replace(values["resolved"]["data_digest"], "abc"))
    with pytest.raises(RunError, match="other data than 'digits'"):
        ac.replay(copy, 1)
    (copy / "sweep.yaml").write_text(text)
    (copy / "reference.safetensors").unlink()
    with pytest.raises(RunError, match="reference model is missing"):
        ac.replay(copy, 1)
    assert not (copy / "replays").exists()


def test_trials_without_candidate_or_result_are_refused(tmp_path):
    run = RunFolder(tmp_path)
    twin = "the same as trial 0, not run again"
    found = [
        TrialRecord(0, Status.WAITING),
        TrialRecord(1, Status.RUNNING, candidate={}),
        TrialRecord(2, Status.COMPLETE, candidate={}, message=twin),
    ]
    for number, words in enumerate(("no candidate yet", "no result yet", f"never run: {twin}")):
        with pytest.raises(RunError, match=f"trial {number} .*{words}"):
            _trial(found, number, run)
    with pytest.raises(RunError, match="no trials yet"):
        _trial([], 0, run)


def test_a_run_of_python_objects_is_refused(tmp_path):
    context = toy_context()
    settings = {"model": context.model, "data": context.data, "jobs": 0, "trials": 1}
    search(Sweep(**settings, space=SPACE, out=tmp_path)).close()
    with pytest.raises(RunError, match=r"model of its own.*cannot be replayed"):
        ac.replay(tmp_path, 0)


def test_times_are_not_compared_and_nan_equals_nan():
    assert Row("accuracy", 0.5, 0.5).agrees
    assert not Row("accuracy", 0.5, 0.5 + 1e-16 + 1e-9).agrees
    assert not Row("accuracy", 0.5, None).agrees
    assert Row("accuracy", float("nan"), float("nan")).agrees
    assert Row("flops", None, 3.0).agrees
    assert Row("latency_p90", 1.0, 2.0).agrees
    assert not Row("latency_p90", 1.0, 2.0).compared


def test_steps_are_compared_one_by_one():
    from autocompress.lc import StepRecord

    def step(number, accuracy):
        return StepRecord(number, 0.0, 0, 1.0, 0.1, 1.0, accuracy, 10, 0.1)

    record = TrialRecord(0, Status.COMPLETE, course=((0.5, 1.0, 10), (0.6, 1.0, 10)))
    steps = [step(0, 0.5), step(1, 0.6)]
    assert _first_difference(record, steps) is None
    assert _first_difference(record, [steps[0], step(1, 0.7)]) == 1
    assert _first_difference(record, steps[:1]) == 1
    assert _first_difference(TrialRecord(0, Status.COMPLETE), steps) is None


@pytest.mark.slow
def test_a_trial_of_a_parallel_run_comes_out_as_recorded(tmp_path, digits_cnn):
    out = tmp_path / "run"
    search(Sweep(**SETTINGS | {"jobs": 2}, out=out)).close()
    for record in records(out)[-2:]:
        assert ac.replay(out, record.number).agrees

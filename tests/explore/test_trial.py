import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

import autocompress as ac
from autocompress import yamlio
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, TrialResult, cheap, clean_up, request_stop, run_job
from autocompress.metrics import Metric
from autocompress.recipe import Candidate
from autocompress.testing.executors import toy_context, toy_job


@pytest.fixture
def context():
    return toy_context()


def raising(error):
    def function(measurement):
        raise error

    return Metric("bad", function)


def fails_with(error, tmp_path):
    context = dataclasses.replace(toy_context(), metrics=(raising(error),))
    job = dataclasses.replace(toy_job(0, tmp_path, steps=1), metrics=("bad",))
    return run_job(job, context), (tmp_path / "0000" / "log.txt").read_text()


def test_leaves_candidate_history_model_and_log(context, tmp_path):
    job = toy_job(0, tmp_path)
    result = run_job(job, context)
    folder = Path(job.folder)
    assert result.status is Status.COMPLETE
    assert Candidate.from_dict(yamlio.load(folder / "candidate.yaml")).to_dict() == job.candidate
    history = pd.read_csv(folder / "history.csv")
    assert list(history["step"]) == [0, 1, 2]
    again = ac.load(folder / "model.safetensors", context.model)
    assert again.evaluate(context.data.val).accuracy == result.metrics["accuracy"]
    assert (folder / "model.safetensors").stat().st_size == result.metrics["bytes"]
    log = (folder / "log.txt").read_text()
    assert "seed 0" in log
    assert "complete after" in log


def test_the_model_of_the_context_is_left_alone(context, tmp_path):
    before = {k: v.clone() for k, v in context.model.state_dict().items()}
    run_job(toy_job(0, tmp_path), context)
    assert all(torch.equal(v, before[k]) for k, v in context.model.state_dict().items())


def test_jobs_and_results_survive_json(context, tmp_path):
    job = toy_job(0, tmp_path)
    assert Job(**json.loads(json.dumps(job.to_dict()))) == job
    result = TrialResult(3, Status.TIMEOUT, {"bytes": 1.0}, 2.5, "too long", 4)
    assert TrialResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("no more"), Status.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), Status.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Status.OUT_OF_MEMORY),
        (RuntimeError("shapes differ\nand more"), Status.CRASHED),
        (KeyError("weight"), Status.CRASHED),
    ],
)
def test_exceptions_are_statuses_with_one_line_and_a_traceback_in_the_log(error, status, tmp_path):
    result, log = fails_with(error, tmp_path)
    assert result.status is status
    assert "\n" not in result.message
    assert type(error).__name__ in result.message
    assert result.metrics == {}
    assert "Traceback" in log


def test_our_own_errors_are_told_without_the_name_of_a_class(tmp_path):
    result, _ = fails_with(ac.errors.ModelError("this layer cannot be thinned"), tmp_path)
    assert result.message == "this layer cannot be thinned"


def test_a_stopped_trial_is_pruned_and_continues_until_cleaned_up(context, tmp_path):
    job = toy_job(0, tmp_path, steps=5)
    request_stop(Path(job.folder))
    result = run_job(job, context)
    assert (result.status, result.steps) == (Status.PRUNED, 0)
    assert set(result.metrics) == {"accuracy", "bytes"}
    clean_up(Path(job.folder))
    assert sorted(p.name for p in Path(job.folder).iterdir()) == [
        "candidate.yaml",
        "history.csv",
        "log.txt",
        "model.safetensors",
    ]


def test_a_finished_trial_run_again_gives_the_same_without_training(context, tmp_path):
    job = toy_job(0, tmp_path, steps=3)
    first = run_job(job, context)
    steps = []
    second = run_job(job, context, steps.append)
    assert [record.step for record in steps] == [0, 1, 2, 3]  # told again, not done again
    assert second.metrics == first.metrics
    assert second.steps == first.steps == 3


def test_only_cheap_metrics_are_measured_of_a_stopped_trial():
    names = ["latency", "accuracy", "loss", "bytes", "flops", "latency_p90", "my-own"]
    assert cheap(names) == ["accuracy", "loss", "bytes", "flops"]


def test_a_stop_that_was_asked_for_before_a_crash_ends_the_trial_where_it_stood(context, tmp_path):
    job = toy_job(0, tmp_path, steps=5)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, context, crash_at(2))
    request_stop(Path(job.folder))
    steps = []
    result = run_job(job, context, steps.append)
    assert (result.status, result.steps) == (Status.PRUNED, 2)
    assert [record.step for record in steps] == [0, 1, 2]


def crash_at(step):
    def on_step(record):
        if record.step == step:
            raise KeyboardInterrupt

    return on_step


def test_a_damaged_state_is_begun_anew(context, tmp_path):
    job = toy_job(0, tmp_path)
    first = run_job(job, context)
    state = Path(job.folder) / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    second = run_job(job, context)
    assert second.metrics == first.metrics
    assert "begins again" in (Path(job.folder) / "log.txt").read_text()


def test_steps_of_an_earlier_session_count_in_the_time(context, tmp_path):
    job = toy_job(0, tmp_path, steps=3)
    run_job(job, context)
    state = Path(job.folder) / "state.safetensors"
    assert state.exists()
    history = pd.read_csv(Path(job.folder) / "history.csv")
    again = run_job(job, context)
    assert again.seconds > history["seconds"].sum()


def test_a_warm_start_is_kept_and_started_from(context, tmp_path):
    first = dataclasses.replace(toy_job(0, tmp_path), keep=True)
    run_job(first, context)
    clean_up(Path(first.folder))
    warm = Path(first.folder) / "warm.safetensors"
    assert warm.exists()
    job = dataclasses.replace(toy_job(1, tmp_path), warm=str(warm))
    result = run_job(job, context)
    assert result.message == ""
    assert not (Path(job.folder) / "warm.safetensors").exists()
    steps = [pd.read_csv(tmp_path / name / "history.csv") for name in ("0000", "0001")]
    assert steps[1]["violation"][0] < 0.7 * steps[0]["violation"][0]
    assert f"starts from {warm}" in (tmp_path / "0001" / "log.txt").read_text()


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_without_its_warm_start_a_trial_starts_cold_and_says_so(context, tmp_path, content):
    cold = run_job(toy_job(0, tmp_path / "cold"), context)
    warm = tmp_path / "warm.safetensors"
    if content is not None:
        warm.write_bytes(content)
    job = dataclasses.replace(toy_job(0, tmp_path), warm=str(warm))
    result = run_job(job, context)
    assert (result.status, result.metrics) == (Status.COMPLETE, cold.metrics)
    assert result.message.startswith(f"cold start: {warm}: ")
    assert result.message in (Path(job.folder) / "log.txt").read_text()

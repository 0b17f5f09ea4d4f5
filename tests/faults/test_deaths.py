"""Workers that hang, crash, are killed or run out of memory: a status, and the sweep goes on."""

import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import cloudpickle
import pytest
import torch

from autocompress.driver import Driver
from autocompress.executors import slot
from autocompress.executors.local import LocalExecutor
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.explore.tail import last_words, tail
from autocompress.explore.trial import TrialContext, TrialResult, run_job
from autocompress.lc import StepRecord
from autocompress.metrics import Metric
from autocompress.report.build import build_report
from autocompress.runs import RunFolder
from autocompress.testing.executors import toy_context, toy_job, until_done

cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEP = StepRecord(1, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01)


def fate(seed):
    """Return what becomes of a trial: three of ten die."""
    return random.Random(seed).choice(["segfault", "hang", "exit", *["fine"] * 7])


def dying(job, context, on_step):
    """Stand in for ``run_job``: dies, or not, as its seed says."""
    print(f"trial {job.number} prints this", flush=True)
    on_step(STEP)
    kind = fate(job.seed)
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "hang":
        time.sleep(600)
    if kind == "exit":
        os._exit(9)
    density = job.candidate["tasks"][0]["compression"]["density"]
    return TrialResult(job.number, Status.COMPLETE, {"accuracy": density, "bytes": 9 * density})


def killed_at(job, context, on_step):
    """Have the worker killed when it begins, and after each of three steps but the last."""
    state = Path(job.folder) / "state"
    done = int(state.read_text()) if state.exists() else 0
    for step in range(1, 4):
        on_step(StepRecord(step, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))
        if step > done:
            state.write_text(str(step))
            time.sleep(0.2)  # the driver is to hear of it first
            os.kill(os.getpid(), signal.SIGKILL)
    return TrialResult(job.number, Status.COMPLETE, {"accuracy": 1.0}, steps=3)


def always_killed(job, context, on_step):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def executor(monkeypatch):
    """Workers that are forked, so that they start at once."""
    monkeypatch.setattr(slot, "WorkerContext", lambda threads: multiprocessing.get_context("fork"))
    return lambda run, **more: LocalExecutor(toy_context(), run=run, **more)


def test_a_job_whose_worker_is_killed_goes_on_from_its_last_step(executor, tmp_path):
    with executor(killed_at, workers=1) as workers:
        workers.submit([toy_job(0, tmp_path)])
        results, events = until_done(workers, [0])
    assert results[0].status is Status.COMPLETE
    steps = [event.record.step for event in events[:-1]]
    assert steps == [1, 2, 3]  # each is told once


def test_a_job_killed_at_the_same_place_again_has_crashed(executor, tmp_path):
    with executor(always_killed, workers=1) as workers:
        workers.submit([toy_job(0, tmp_path)])
        results, _ = until_done(workers, [0])
    assert results[0].status is Status.CRASHED
    assert "SIGKILL (by the system, if memory ran out)" in results[0].message


@pytest.mark.parametrize(
    "seed", [4, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (0, 1, 2, 3, 5, 6))]
)
def test_a_third_of_the_trials_die_and_the_budget_is_done_all_the_same(executor, tmp_path, seed):
    scheme = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
    rule = {"match": "*", "share": True, "schemes": [scheme]}
    space = SearchSpace.from_dict({"layers": [rule], "recipe": {"method": "direct"}})
    objectives = Objectives(
        "toy",
        (
            Objective("accuracy", "maximize", worst=0.0),
            Objective("bytes", "minimize", scale="log", worst=100.0),
        ),
    )
    reference = {"accuracy": 1.0, "bytes": 9.0}
    setup = Setup(objectives, space, reference, sampler="random", seed=seed)
    study = Study.create(tmp_path, setup, toy_context().model)
    with executor(dying, workers=2, timeout=1.5) as workers:
        folder = RunFolder(tmp_path)
        driver = Driver(study, workers, folder, total=15, metrics=("accuracy", "bytes"))
        driver.run()
    records = study.records()
    by_status = {s: [r for r in records if r.status is s] for s in Status}
    assert len(by_status[Status.COMPLETE]) == 15
    crashed, late = by_status[Status.CRASHED], by_status[Status.TIMEOUT]
    assert len(records) == 15 + len(crashed) + len(late)
    words = {
        "segfault": "SIGSEGV; its log ends: Segmentation fault in dying, ",
        "exit": "exit code 9; its log ends: trial ",
        "hang": "no result within 1.5 s; its log ends: in dying, test_deaths.py",
        "fine": "",
    }
    statuses = {"fine": Status.COMPLETE, "hang": Status.TIMEOUT}
    for record in records:
        kind = fate(record.seed)
        assert record.status is statuses.get(kind, Status.CRASHED)
        assert words[kind] in record.message
    told = [t.state.name for t in study._mirror.trials()]  # what the sampler sees
    assert [told[r.number] for r in late] == ["PRUNED"] * len(late)
    assert [told[r.number] for r in crashed] == ["FAIL"] * len(crashed)
    page = build_report(study, tmp_path / "report").index.read_text()
    page = page.replace(' class="n"', "").replace(" class=n", "")
    for status, found in (("timeout", late), ("crashed", crashed)):
        assert not found or f"<td>{status}</td><td>{len(found)}</td>" in page


def eating(measurement):
    """Ask for more memory than this process may have."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 36, before[1]))
    try:
        return float(len(bytearray(1 << 40)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def eating_tensors(measurement):
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 36, before[1]))
    try:
        return float(torch.empty(1 << 40, dtype=torch.uint8).numel())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("function", [eating, eating_tensors])
def test_memory_that_runs_out_is_a_status_of_its_own(tmp_path, function):
    toy = toy_context()
    own = Metric("eaten", function, direction="minimize")
    job = toy_job(0, tmp_path)
    job = type(job)(**{**job.to_dict(), "metrics": ("accuracy", "eaten")})
    result = run_job(job, TrialContext(toy.model, toy.data, metrics=(own,)))
    assert result.status is Status.OUT_OF_MEMORY
    assert result.message
    assert "Traceback" in (tmp_path / "0000" / "log.txt").read_text()


@pytest.mark.parametrize("mu", [1e30, 3e38])
def test_a_mu_that_explodes_is_a_status_or_does_no_harm(tmp_path, mu):
    result = run_job(toy_job(0, tmp_path, steps=3, mu=mu), toy_context())
    assert result.status in (Status.DIVERGED, Status.COMPLETE)
    assert result.status is Status.COMPLETE or "NaN or infinite" in result.message


def test_the_end_of_a_log_is_told_in_a_few_words(tmp_path):
    log = tmp_path / "log.txt"
    assert (last_words(log), tail(log)) == ("", [])
    log.write_text("2026-01-01 10:00:00  step   1  loss 0.5\n\n")
    assert last_words(log) == "step   1  loss 0.5"
    frames = '  File "/a/b.py", line 7 in f\n  File "/a/c.py", line 8 in g\n'
    stack = "Current thread 0x01 (most recent call first):\n" + frames
    log.write_text(log.read_text() + "Fatal Python error: Aborted\n\n" + stack)
    assert last_words(log) == "Aborted in f, b.py line 7"
    log.write_text(log.read_text() + "2026-01-01 10:00:09  step   2\n")
    assert last_words(log) == "step   2"  # that was an earlier session
    log.write_bytes(b"\xff" * 50_000 + b"\nend")
    assert last_words(log) == "end"

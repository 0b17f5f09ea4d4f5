import os
import sys
import tempfile
import time
from pathlib import Path

import cloudpickle
import pytest

pytest.importorskip("ray")

from autocompress.executors.base import StepEvent
from autocompress.executors.ray.executor import RayExecutor
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.storage import Storage
from autocompress.explore.record import Status
from autocompress.explore.trial import TrialResult
from autocompress.lc import StepRecord
from autocompress.testing.executors import ExecutorContract, toy_context, toy_job, until_done

# workers cannot import a test module, so what is defined here must reach them by value
cloudpickle.register_pickle_by_value(sys.modules[__name__])

WAIT = 240.0  # a Ray worker takes seconds to come up, and a busy machine many


@pytest.fixture(scope="module", autouse=True)
def ray():
    """A Ray of two made-up CPUs and one made-up GPU, on loopback, for all tests here."""
    from autocompress.executors.ray.cluster import load_ray

    ray = load_ray(loopback=True)
    resources = {"stopwatch": 1}
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(num_cpus=2, num_gpus=1, resources=resources, **options)
    yield ray
    ray.shutdown()


def executor(path, *, workers=1, **settings):
    options = {k: settings.pop(k) for k in ("storage", "timeout", "work") if k in settings}
    options.setdefault("work", acting)
    found = RaySettings(max_concurrent=workers, cpus_per_trial=0.5, **settings)
    return RayExecutor(toy_context(), path, found, **options)


def acting(job, context, on_step):
    """Stand in for ``run_job``: does what the file ``act`` in the job's folder says."""
    path = Path(job.folder) / "act"
    act = path.read_text() if path.exists() else ""
    on_step(StepRecord(0, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))
    if act == "hang":
        time.sleep(600)
    if act == "exit":
        os._exit(7)
    if act == "crowded" and _gpu_share() < 1:
        return TrialResult(job.number, Status.OUT_OF_MEMORY, message="out of memory")
    if act == "greedy":
        return TrialResult(job.number, Status.OUT_OF_MEMORY, message="out of memory")
    return TrialResult(job.number, Status.COMPLETE, {"accuracy": 1.0})


def _gpu_share():
    import ray

    return ray.get_runtime_context().get_assigned_resources().get("GPU", 0)


def job(number, runs, act=""):
    made = toy_job(number, runs / "trials")
    (Path(made.folder) / "act").write_text(act)
    return made


@pytest.mark.exhaustive
class TestRayExecutor(ExecutorContract):
    def make(self, context, workers):
        settings = RaySettings(max_concurrent=workers, cpus_per_trial=0.5)
        made = RayExecutor(context, Path(tempfile.gettempdir()), settings)
        made.warm_up(WAIT)
        return made


def test_a_job_runs_from_its_state_in_a_storage_and_its_files_come_home(tmp_path):
    from autocompress.explore.trial import run_job

    whole, run = tmp_path / "whole", tmp_path / "run"
    storage = Storage(str(tmp_path / "storage"), "run-1")
    with executor(run, storage=storage, work=run_job) as ray_executor:
        ray_executor.warm_up(WAIT)
        ray_executor.submit([toy_job(0, whole / "trials", steps=20)])
        wanted = until_done(ray_executor, [0], seconds=WAIT)[0][0]
        assert wanted.status is Status.COMPLETE, wanted.message
        begun = toy_job(0, run / "trials", steps=20)
        ray_executor.submit([begun])
        seen = []
        while not seen or seen[-1].step < 2:
            seen += [e.record for e in ray_executor.poll(5) if isinstance(e, StepEvent)]
    assert storage.reclaim(run) == ["trials/0000"]  # home, for whoever goes on
    assert (Path(begun.folder) / "state.safetensors").exists()
    with executor(run, storage=storage, work=run_job) as ray_executor:
        ray_executor.submit([begun])
        results, events = until_done(ray_executor, [0], seconds=WAIT)
    assert results[0].metrics == wanted.metrics
    steps = [e.record for e in events if isinstance(e, StepEvent)]
    assert [record.step for record in steps] == list(range(21))
    assert steps[: len(seen)] == seen  # told again, with its time, and not done again
    assert {"model.safetensors", "history.csv"} <= {p.name for p in Path(begun.folder).iterdir()}
    assert storage.reclaim(run) == []


@pytest.mark.exhaustive
def test_workers_that_die_or_hang_cost_one_job_each(tmp_path):
    with executor(tmp_path, timeout=None, retries=1) as ray_executor:
        ray_executor.submit([job(0, tmp_path, "exit"), job(1, tmp_path)])
        results, events = until_done(ray_executor, [0, 1], seconds=WAIT)
        assert results[0].status is Status.CRASHED
        assert "worker process died" in results[0].message
        assert results[1].status is Status.COMPLETE
        steps = [e for e in events if isinstance(e, StepEvent) and e.number == 0]
        assert len(steps) == 1  # told by the first worker, not again by the second
    with executor(tmp_path, timeout=3.0) as ray_executor:
        ray_executor.submit([job(2, tmp_path, "hang"), job(3, tmp_path)])
        results, _ = until_done(ray_executor, [2, 3], seconds=WAIT)
        assert results[2].status is Status.TIMEOUT
        assert "3 s" in results[2].message
        assert results[3].status is Status.COMPLETE


@pytest.mark.exhaustive
def test_a_trial_out_of_memory_is_tried_once_more_with_a_gpu_of_its_own(tmp_path):
    with executor(tmp_path, workers=2, gpus_per_trial=0.5) as ray_executor:
        acts = {0: "crowded", 1: "greedy", 2: "", 3: "crowded", 4: ""}
        ray_executor.submit([job(n, tmp_path, act) for n, act in acts.items()])
        results, _ = until_done(ray_executor, list(acts), seconds=WAIT)
    assert {n: r.status for n, r in results.items()} == {
        0: Status.COMPLETE,
        1: Status.OUT_OF_MEMORY,
        2: Status.COMPLETE,
        3: Status.COMPLETE,
        4: Status.COMPLETE,
    }


@pytest.mark.exhaustive
def test_latency_is_measured_on_nodes_with_a_resource_only(tmp_path):
    from autocompress.explore.trial import run_job

    with executor(tmp_path, latency_on="stopwatch", work=run_job) as ray_executor:
        made = toy_job(0, tmp_path / "trials")
        object.__setattr__(made, "metrics", ("accuracy", "latency", "bytes"))
        ray_executor.submit([made])
        result = until_done(ray_executor, [0], seconds=WAIT)[0][0]
    assert list(result.metrics) == ["accuracy", "latency", "bytes"]
    assert result.metrics["latency"] > 0

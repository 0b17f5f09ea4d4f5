import importlib.util
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import cloudpickle
import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("no Ray", allow_module_level=True)  # not imported here: that fixes its address

from autocompress.errors import ExecutorError
from autocompress.executors.base import DoneEvent, StepEvent
from autocompress.executors.ray.executor import RayExecutor
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.storage import Storage
from autocompress.explore.record import Status
from autocompress.explore.trial import run_job
from autocompress.lc import StepRecord
from autocompress.metrics import fingerprint
from autocompress.testing.executors import ExecutorContract, toy_context, toy_job, until_done

# workers cannot import a test module, so what is defined here must reach them by value
cloudpickle.register_pickle_by_value(sys.modules[__name__])

WAIT = 400.0  # a Ray worker takes seconds to come up, and a busy machine many
STEP = asdict(StepRecord(0, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))


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


class Acting:
    """Stands in for trials: does what the file ``act`` in the job's folder says, without torch."""

    def run(self, job, name, on_step):
        folder = self.folder = Path(job["folder"])
        act = (folder / "act").read_text()
        reached = folder / "reached"
        before = int(reached.read_text()) if reached.exists() else -1
        self.note(f"2026-01-01 10:00:00  {act} begins")
        for step in range(3):
            on_step({**STEP, "step": step})
            if act == "killed" and step > before:
                reached.write_text(str(step))
                time.sleep(0.3)  # the driver is to hear of it first
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "exit" and step == 1:
                time.sleep(0.3)
                os._exit(7)
        if act == "hang":
            time.sleep(600)
        if act == "full":
            raise ExecutorError(f"{folder}: cannot be written: no space left")
        crowded = act == "crowded" and gpu_share() < 1
        status = "out_of_memory" if crowded or act == "greedy" else "complete"
        torch = float("torch" in sys.modules)
        return {"number": job["number"], "status": status, "metrics": {"torch": torch}}

    def note(self, text):
        with open(self.folder / "log.txt", "a") as file:
            file.write(f"{text}\n")


def gpu_share():
    import ray

    return ray.get_runtime_context().get_assigned_resources().get("GPU", 0)


def executor(path, *, workers=1, **settings):
    options = {k: settings.pop(k) for k in ("storage", "timeout", "work") if k in settings}
    if "work" not in options:
        options["load"] = Acting
    found = RaySettings(max_concurrent=workers, cpus_per_trial=0.5, **settings)
    return RayExecutor(toy_context(), path, found, **options)


def job(number, runs, act=""):
    made = toy_job(number, runs / "trials")
    (Path(made.folder) / "act").write_text(act)
    return made


@pytest.mark.exhaustive
class TestRayExecutor(ExecutorContract):
    def make(self, context, workers):
        settings = RaySettings(max_concurrent=workers, cpus_per_trial=0.5)
        made = RayExecutor(context, Path(tempfile.gettempdir()), settings)
        return made


def test_a_job_runs_from_its_state_in_a_storage_and_its_files_come_home(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    storage = Storage(str(tmp_path / "storage"), "run-1")
    with executor(run, storage=storage, work=run_job) as ray_executor:
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


def test_a_full_disk_ends_the_sweep_once_finished_trials_are_told(tmp_path):
    with executor(tmp_path) as ray_executor:
        ray_executor.submit([job(0, tmp_path, "fine")])
        ray_executor.submit([job(1, tmp_path, "full")])
        events = []
        with pytest.raises(ExecutorError, match="0001: cannot be written: no space left"):
            until_done(ray_executor, [0, 1], on_event=events.append, seconds=WAIT)
    done = [event.result for event in events if isinstance(event, DoneEvent)]
    assert [(result.number, result.status) for result in done] == [(0, Status.COMPLETE)]
    assert done[0].metrics == {"torch": 0.0}  # this worker was light


@pytest.mark.exhaustive
def test_a_trial_whose_worker_is_killed_goes_on_and_twice_at_one_step_has_crashed(tmp_path):
    with executor(tmp_path) as ray_executor:
        acts = {0: "killed", 1: "exit", 2: "fine"}
        ray_executor.submit([job(number, tmp_path, act) for number, act in acts.items()])
        results, events = until_done(ray_executor, list(acts), seconds=WAIT)
    statuses = {number: result.status for number, result in results.items()}
    assert statuses == {0: Status.COMPLETE, 1: Status.CRASHED, 2: Status.COMPLETE}
    why = "its worker process died twice after L-C step 1; its log ends: exit begins"
    assert results[1].message == why
    steps = [(e.number, e.record.step) for e in events if isinstance(e, StepEvent)]
    assert sorted(steps) == sorted(set(steps))  # each is told once
    assert {step for number, step in steps if number == 0} == {0, 1, 2}


@pytest.mark.exhaustive
def test_a_trial_that_hangs_is_ended_and_says_where_it_hung(tmp_path):
    with executor(tmp_path, timeout=3.0) as ray_executor:
        ray_executor.submit([job(0, tmp_path, "hang"), job(1, tmp_path, "fine")])
        results, _ = until_done(ray_executor, [0, 1], seconds=WAIT)
    assert results[0].status is Status.TIMEOUT
    assert "no result within 3 s; its log ends: in run, test_ray.py line" in results[0].message
    assert results[1].status is Status.COMPLETE


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
    with executor(tmp_path, latency_on="stopwatch", work=run_job) as ray_executor:
        made = toy_job(0, tmp_path / "trials")
        object.__setattr__(made, "metrics", ("accuracy", "latency", "bytes"))
        ray_executor.submit([made])
        result = until_done(ray_executor, [0], seconds=WAIT)[0][0]
    assert list(result.metrics) == ["accuracy", "latency", "bytes"]
    assert result.metrics["latency"] > 0
    assert result.hardware["cpu"] == fingerprint()["cpu"]

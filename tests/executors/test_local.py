import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import pytest
import torch
from torch import nn

from autocompress.errors import ExecutorError
from autocompress.executors.base import StepEvent
from autocompress.executors.local import LocalExecutor
from autocompress.explore.record import Status
from autocompress.explore.trial import TrialContext, TrialResult
from autocompress.lc import StepRecord
from autocompress.testing.executors import ExecutorContract, toy_context, toy_job, until_done

# workers cannot import a test module, so what is defined here must reach them by value
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEP = StepRecord(1, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01)


def acting(job, context, on_step):
    """Stand in for ``run_job``: does what the file ``act`` in the job's folder says."""
    path = Path(job.folder) / "act"
    act = path.read_text() if path.exists() else ""
    on_step(STEP)
    if act == "slow":
        time.sleep(0.5)
    if act == "hang":
        time.sleep(600)
    if act.startswith("exit"):
        os._exit(int(act.split()[1]))
    if act == "threads":
        found = (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
        return TrialResult(job.number, Status.COMPLETE, message=str(found))
    return TrialResult(job.number, Status.COMPLETE, {"accuracy": 1.0})


def job(number, runs, act=""):
    made = toy_job(number, runs)
    (Path(made.folder) / "act").write_text(act)
    return made


class TestLocalExecutor(ExecutorContract):
    def make(self, context, workers):
        return LocalExecutor(context, workers=workers)


@pytest.mark.slow
def test_a_stop_takes_effect_at_once_where_workers_wait(tmp_path):
    def on_event(event):
        if isinstance(event, StepEvent) and event.record.step == 3:
            time.sleep(0.3)  # a driver that has to think
            executor.stop(0)

    with LocalExecutor(toy_context(), workers=1, waits=True) as executor:
        executor.submit([toy_job(0, tmp_path, steps=50), toy_job(1, tmp_path)])
        results, _ = until_done(executor, [0, 1], on_event=on_event)
    assert (results[0].status, results[0].steps) == (Status.PRUNED, 3)
    assert results[1].status is Status.COMPLETE


@pytest.mark.slow
def test_workers_that_hang_exit_or_are_killed_cost_one_job_each(tmp_path):
    with LocalExecutor(toy_context(), workers=1, timeout=2, run=acting) as executor:
        executor.submit([job(0, tmp_path, "exit 7"), job(1, tmp_path)])  # 1 is handed on
        executor.submit([job(2, tmp_path, "hang")])
        executor.submit([job(3, tmp_path)])
        results, _ = until_done(executor, range(4))
        assert results[0].status is Status.CRASHED
        assert "exit code 7" in results[0].message
        assert results[1].status is Status.COMPLETE
        assert results[2].status is Status.TIMEOUT
        assert "2 s" in results[2].message
        assert results[3].status is Status.COMPLETE

    with LocalExecutor(toy_context(), workers=2, threads=2, run=acting) as executor:
        executor.submit([job(6, tmp_path, "exit 0")])
        results, _ = until_done(executor, [6])
        assert results[6].status is Status.CRASHED
        assert "exit code 0" in results[6].message
        executor.submit([job(4, tmp_path, "hang")])
        while not any(isinstance(event, StepEvent) for event in executor.poll(1)):
            pass
        first = executor.running[4]
        os.kill(first, signal.SIGKILL)
        while executor.running.get(4, first) == first:
            executor.poll(1)
        os.kill(executor.running[4], signal.SIGKILL)  # before its next step: it does not go on
        executor.submit([job(5, tmp_path, "threads")])
        results, _ = until_done(executor, [4, 5])
        assert results[4].status is Status.CRASHED
        assert "SIGKILL" in results[4].message
        assert results[5].message == "(2, '2')"


@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_a_worker_that_dies_between_two_jobs_is_replaced(tmp_path, wait):
    with LocalExecutor(toy_context(), workers=1, run=acting) as executor:
        executor.submit([job(0, tmp_path, "slow")])
        while 0 not in executor.running:
            executor.poll(1)
        process = executor.running[0]
        until_done(executor, [0])
        time.sleep(wait)  # without it, the worker may hold a lock of its pool when it dies
        os.kill(process, signal.SIGKILL)
        executor.submit([job(1, tmp_path)])
        assert until_done(executor, [1])[0][1].status is Status.COMPLETE


class Unsendable(nn.Linear):
    def __reduce__(self):
        raise TypeError("cannot be pickled, ever")


class Unloadable(nn.Linear):
    def __reduce__(self):
        return _fail, ()


def _fail():
    raise OSError("no such device")


def test_a_context_that_cannot_be_sent_is_one_clear_error(tmp_path):
    context = TrialContext(Unsendable(6, 3), toy_context().data)
    with pytest.raises(ExecutorError, match=r"cannot be sent to worker processes.*ever"):
        LocalExecutor(context)


def test_a_context_that_cannot_be_loaded_is_one_clear_error(tmp_path):
    context = TrialContext(Unloadable(6, 3), toy_context().data)
    with LocalExecutor(context, workers=1) as executor:
        executor.submit([toy_job(0, tmp_path)])
        with pytest.raises(ExecutorError, match=r"cannot load the model.*no such device"):
            until_done(executor, [0])


class Deadly(nn.Linear):
    def __reduce__(self):
        return os._exit, (3,)


def test_workers_that_cannot_start_are_one_clear_error(tmp_path):
    with LocalExecutor(TrialContext(Deadly(6, 3), toy_context().data), workers=1) as executor:
        executor.submit([toy_job(0, tmp_path)])
        with pytest.raises(ExecutorError, match="end as soon as they start"):
            until_done(executor, [0])


SCRIPT = """
import sys, time
from pathlib import Path
import torch
from torch import nn
from autocompress.executors.local import LocalExecutor
from autocompress.explore.trial import TrialContext
from autocompress.testing.executors import toy_context, toy_job, until_done

print("script runs", flush=True)
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)
    def forward(self, x):
        print("noise from the model")
        return self.layer(x)

context = TrialContext(Mine(), toy_context().data)
with LocalExecutor(context, workers=1) as executor:
    executor.submit([toy_job(0, Path(sys.argv[1]), steps=int(sys.argv[2]))])
    while int(sys.argv[2]) > 100 and 0 not in executor.running:
        executor.poll(1)
    print("worker", executor.running.get(0), flush=True)
    results, _ = until_done(executor, [0])
    print(results[0].status, results[0].message, flush=True)
"""


def start(tmp_path, steps):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_script_without_main_guard_is_not_run_again_and_its_classes_reach_the_worker(tmp_path):
    out, err = start(tmp_path, 1).communicate(timeout=120)
    assert out.splitlines()[0] == "script runs"
    assert out.count("script runs") == 1
    assert out.splitlines()[-1].startswith("complete")
    assert err == ""
    assert "noise" in (tmp_path / "0000" / "log.txt").read_text()


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    process = start(tmp_path, 100_000)
    worker = None
    for line in process.stdout:
        if line.startswith("worker"):
            worker = int(line.split()[1])
            break
    process.kill()
    process.communicate()
    for _ in range(50):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    raise AssertionError("the worker is still there")

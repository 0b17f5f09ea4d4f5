"""Nodes that are lost in mid-sweep, and the head of a cluster."""

import importlib.util
import sys
import time
from dataclasses import asdict
from pathlib import Path

import cloudpickle
import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("no Ray", allow_module_level=True)

from autocompress.driver import Driver
from autocompress.errors import ExecutorError
from autocompress.executors.ray.executor import RayExecutor
from autocompress.executors.ray.settings import RaySettings
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.lc import StepRecord
from autocompress.observer import Observer
from autocompress.runs import RunFolder
from autocompress.testing.executors import toy_context

cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.exhaustive
WAIT = 400.0
STEPS = 14  # a node that is lost takes a moment to be gone
STEP = asdict(StepRecord(0, 0.1, 1, 0.5, 0.1, 0.5, 0.9, 100, 0.01))
METRICS = ("accuracy", "bytes")


class Steps:
    """Stands in for trials, with steps that are kept and take half a second."""

    def run(self, job, name, on_step):
        diary = Path(job["folder"]) / "diary"
        done = len(diary.read_text().splitlines()) if diary.exists() else 0
        for step in range(STEPS):
            if step >= done:
                time.sleep(0.5)
                with open(diary, "a") as file:
                    file.write(f"{done}\n")  # where this session began
            on_step({**STEP, "step": step})
        density = job["candidate"]["tasks"][0]["compression"]["density"]
        metrics = {"accuracy": density, "bytes": 100 * density}
        return {"number": job["number"], "status": "complete", "metrics": metrics}


class Hammer(Observer):
    """Strikes once, a moment after a number of trials have ended and others are in their middle."""

    def __init__(self, strike, after):
        self.strike, self.after = strike, after

    def ended(self, record):
        self.after -= 1

    def step(self, number, record):
        if self.strike is not None and self.after <= 0 and record.step == 1:
            strike, self.strike = self.strike, None
            strike(number)


@pytest.fixture
def cluster():
    """Makes clusters on loopback: a head without CPUs, and nodes of one made-up CPU each."""
    from autocompress.executors.ray.cluster import load_ray

    ray = load_ray(loopback=True)
    from ray.cluster_utils import Cluster

    made = []

    def make(nodes):
        memory = {"object_store_memory": 80 * 2**20}
        head = {"num_cpus": 0, "include_dashboard": False, **memory}
        made.append(Cluster(initialize_head=True, head_node_args=head))
        for _ in range(nodes):
            made[-1].add_node(num_cpus=1, **memory)
        return made[-1]

    yield make
    ray.shutdown()
    for one in made:
        one.shutdown()


def new_study(path):
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
    setup = Setup(objectives, space, {"accuracy": 1.0, "bytes": 9.0}, sampler="random")
    return Study.create(path, setup, toy_context().model)


def drive(study, path, address, trials, observer=None):
    settings = RaySettings(address=address)
    with RayExecutor(toy_context(), path, settings, load=Steps) as executor:
        folder = RunFolder(path)
        Driver(study, executor, folder, total=trials, metrics=METRICS, observer=observer).run()


def sessions(path):
    """Return by trial the step at which the session began that did each of its steps."""
    diaries = sorted(path.glob("trials/*/diary"))
    return [[int(line) for line in diary.read_text().split()] for diary in diaries]


def check(study, path, trials):
    records = study.records()
    assert [record.status for record in records] == [Status.COMPLETE] * trials
    assert all(len(record.course) == STEPS for record in records)  # no step told twice
    found = sessions(path)
    assert len(found) == trials
    for began in found:  # none done twice
        again = began[-1]
        assert began == [0] * again + [again] * (STEPS - again)
    assert any(began[-1] > 0 for began in found)  # what was interrupted went on


def test_a_node_is_lost_in_mid_sweep(cluster, tmp_path):
    three = cluster(3)
    study = new_study(tmp_path)
    before = []

    def strike(number):
        before.extend(r for r in study.records() if r.status is Status.COMPLETE)
        three.remove_node(next(iter(three.worker_nodes)), allow_graceful=False)

    drive(study, tmp_path, three.address, 9, Hammer(strike, after=3))
    check(study, tmp_path, 9)
    assert len(before) >= 3
    kept = {record.number: record for record in study.records()}
    assert all(kept[record.number] == record for record in before)


def test_the_head_is_lost_and_another_cluster_goes_on(cluster, tmp_path):
    first = cluster(2)
    study = new_study(tmp_path)

    def strike(number):
        first.head_node.kill_all_processes(check_alive=False, allow_graceful=False)

    with study, pytest.raises(ExecutorError, match=r"the head of the Ray cluster .* is gone"):
        drive(study, tmp_path, first.address, 6, Hammer(strike, after=2))
    first.shutdown()
    with Study.load(tmp_path, model=toy_context().model) as again:
        before = [record for record in again.records() if record.status is Status.COMPLETE]
        assert 2 <= len(before) < 6
        drive(again, tmp_path, cluster(2).address, 6)
        check(again, tmp_path, 6)
        kept = {record.number: record for record in again.records()}
    assert all(kept[record.number] == record for record in before)

import copy
import multiprocessing
import os
import subprocess
import sys

import pytest
import torch

from autocompress import data as datasets
from autocompress import yamlio
from autocompress.config import Sweep
from autocompress.errors import ConfigError, ModelError, RunError, SchemeError, UnknownName
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from autocompress.explore.study import Study
from autocompress.metrics import Metric
from autocompress.observer import Observer
from autocompress.sweep import report, resume, search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
SPACE = {
    "layers": [{"match": "*", "schemes": [PRUNE]}],
    "recipe": {"mu": {"steps": 2}, "batch_size": 16},
}
DIVERGE = SPACE | {
    "recipe": {
        "mu": {"start": 1e-35, "factor": 1.1, "steps": 2},
        "optimizer": {"name": "sgd", "lr": 1e30},
    }
}


@pytest.fixture
def toy():
    context = toy_context()
    return {"model": context.model, "data": context.data, "space": SPACE, "trials": 4, "jobs": 0}


def test_a_sweep_leaves_a_run_with_study_trials_and_report(toy, tmp_path, real_pictures):
    study = search(Sweep(**toy, out=tmp_path / "run"))
    assert {r.status for r in study.records()} == {Status.COMPLETE}
    assert len(study.front()) >= 1
    assert study.reference["accuracy"] > 0
    assert study.path == tmp_path / "run"
    found = {str(p.relative_to(study.path)) for p in study.path.rglob("*") if p.is_file()}
    trial = {f"trials/0003/{n}" for n in ("candidate.yaml", "history.csv", "log.txt")}
    assert trial | {"trials/0003/model.safetensors", "report/index.html"} <= found
    assert {"sweep.yaml", "study.db", "reference.safetensors", "report/pareto.png"} <= found
    assert (study.path / "report" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert not any("state.safetensors" in name for name in found)
    assert all(study.test(record.number) is not None for record in study.front())


def test_the_same_sweep_again_goes_on_and_another_one_is_refused(toy, tmp_path):
    out = tmp_path / "run"
    first = search(Sweep(**toy, out=out)).records()
    again = search(Sweep(**toy, out=out)).records()
    assert again == first
    longer = search(Sweep(**toy | {"trials": 5}, out=out)).records()
    assert longer[:4] == first
    assert len(longer) == 5
    with pytest.raises(RunError, match=r"another sweep \(different seed\).*autocompress resume"):
        search(Sweep(**toy, seed=1, out=out))
    with torch.no_grad():
        toy["model"][0].weight[0, 0] += 1
    with pytest.raises(RunError, match=r"different model"):
        search(Sweep(**toy, out=out))


def test_a_folder_with_other_things_in_it_is_refused(toy, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match=r"holds other files \(thesis.tex\).*--out"):
        search(Sweep(**toy, out=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunError, match="is a file"):
        search(Sweep(**toy, out=tmp_path / "thesis.tex"))


def test_a_run_of_python_objects_is_resumed_from_python_only(toy, tmp_path):
    search(Sweep(**toy, out=tmp_path))
    with pytest.raises(RunError, match=r"model of its own.*ac.search\(Sweep\(model="):
        resume(tmp_path)
    (tmp_path / "report" / "front.csv").unlink()
    report(tmp_path)  # needs no model: test accuracies are kept
    assert "test_accuracy" in (tmp_path / "report" / "front.csv").read_text()


def test_resuming_what_is_no_run_is_one_clear_error(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        resume(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"no sweep.yaml"):
        resume(tmp_path)
    (tmp_path / "sweep.yaml").write_text("model: digits-cnn\n")
    with pytest.raises(RunError, match="not one that ran"):
        resume(tmp_path)
    (tmp_path / "sweep.yaml").write_text("resolved: {format: autocompress-run/99}\n")
    with pytest.raises(RunError, match="another version"):
        resume(tmp_path)


def test_trials_that_diverge_leave_an_empty_front_and_a_report(toy, tmp_path):
    with pytest.raises(RunError, match=r"20 failures in a row \(20 diverged\).*NaN or infinite"):
        search(Sweep(**toy | {"space": DIVERGE}, out=tmp_path))
    with Study.load(tmp_path) as study:
        assert {r.status for r in study.records()} == {Status.DIVERGED}
        assert "NaN or infinite" in study.records()[0].message
        assert len(study.front()) == 0
    assert (tmp_path / "report" / "index.html").exists()


def test_limits_hold_before_training_and_after_it(toy, tmp_path):
    probe = search(Sweep(**toy, out=tmp_path / "probe"))
    sizes = sorted(r.metrics["bytes"] for r in probe.records())
    limits = {"bytes": sizes[1], "accuracy": "1%"}
    study = search(Sweep(**toy, limits=limits, out=tmp_path / "run"))
    kept = [r for r in study.records() if r.status is Status.COMPLETE]
    refused = [r for r in study.records() if r.status is Status.INFEASIBLE]
    assert kept
    assert refused
    assert all(r.metrics["bytes"] <= sizes[1] for r in kept)
    assert any(r.folder is None and "known before training" in r.message for r in refused)
    assert all("above" in r.message for r in refused)
    assert sum(r.folder is not None for r in study.records()) >= 4


def test_a_metric_of_ones_own_is_an_objective_and_a_limit(toy, tmp_path):
    def zeros(measurement):
        weights = measurement.compressed.model.state_dict()
        return float(sum((w == 0).sum() for w in weights.values()))

    own = Metric("zeros", zeros, direction="maximize")
    objectives = Objectives(
        "own", (Objective("accuracy", "maximize"), Objective("zeros", "maximize", worst=0.0))
    )
    sweep = Sweep(**toy, metrics=(own,), objectives=objectives, limits={"zeros": 20}, out=tmp_path)
    study = search(sweep)
    values = [r.metrics["zeros"] for r in study.records() if r.status is Status.COMPLETE]
    assert values
    assert min(values) >= 20


def test_bad_settings_are_told_before_anything_is_done(toy, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UnknownName, match="did you mean 'digits-cnn'"):
        search(Sweep(model="digit-cnn", out=out))
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        search(Sweep(data="digit", out=out))
    with pytest.raises(UnknownName, match="did you mean 'mixed'"):
        search(Sweep(space="mixd", out=out))
    with pytest.raises(UnknownName, match="accuracy-size"):
        search(Sweep(objectives="accuracy-sise", out=out))
    with pytest.raises(UnknownName, match="limits"):
        search(Sweep(**toy, limits={"byte": 5}, out=out))
    odd = Objectives("odd", (Objective("speed", "maximize", worst=0.0),))
    with pytest.raises(UnknownName, match="odd"):
        search(Sweep(**toy, objectives=odd, out=out))
    nowhere = SPACE | {"layers": [{"match": "attention*", "schemes": [PRUNE]}]}
    with pytest.raises((ConfigError, SchemeError), match="attention"):
        search(Sweep(**toy | {"space": nowhere}, out=out))
    broken = copy.deepcopy(toy["model"])
    name, parameter = next(broken.named_parameters())
    parameter.data.view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match=f"'{name}' has NaN"):
        search(Sweep(**toy | {"model": broken}, out=out))
    assert not out.exists()


def test_two_processes_cannot_work_in_one_run(toy, tmp_path):
    class Second(Observer):
        def step(self, number, record):
            with pytest.raises(RunError, match="another process is running"):
                search(Sweep(**toy, out=tmp_path))
            self.tried = True

    observer = Second()
    search(Sweep(**toy | {"trials": 1}, out=tmp_path), observer=observer)
    assert observer.tried


def test_a_damaged_reference_is_one_clear_error(toy, tmp_path):
    search(Sweep(**toy, out=tmp_path))
    (tmp_path / "reference.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"reference.safetensors: .*cannot be loaded"):
        search(Sweep(**toy, out=tmp_path))


def test_worker_processes_survive_a_kill_and_bring_the_sweep_to_its_end(toy, tmp_path):
    class Killer(Observer):
        def __init__(self):
            self.victim = None

        def step(self, number, record):
            if self.victim is None and number == 1:
                self.victim = number
                for process in multiprocessing.active_children():
                    os.kill(process.pid, 9)

    recipe = {"mu": {"steps": 40}, "batch_size": 8}
    settings = toy | {"space": SPACE | {"recipe": recipe}, "jobs": 1, "trials": 2}
    observer = Killer()
    study = search(Sweep(**settings, out=tmp_path), observer=observer)
    records = study.records()
    assert [r.status for r in records] == [Status.COMPLETE] * 2
    log = (tmp_path / records[1].folder / "log.txt").read_text()
    assert log.count("step   0") == 1  # it went on where it was killed
    assert len(records[1].course) == 41


SCRIPT = """
import sys
import torch
import autocompress as ac
from autocompress.report import build
from autocompress.testing.executors import toy_context

print("runs", flush=True)
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 3)
    def forward(self, x):
        return self.layer(x)

space = {"layers": [{"match": "*", "schemes": [{"scheme": "prune", "density": 0.5}]}]}
data = toy_context().data
sweep = ac.Sweep(model=Mine(), data=data, space=space, trials=1, jobs=1, out=sys.argv[1])
build.render = lambda figure: {"svg": b""}  # pictures take seconds
study = ac.search(sweep)
print(study.records()[0].status.value, study.records()[0].message)
"""


def test_a_script_needs_no_main_guard_and_may_define_its_model(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stderr == ""
    assert ended.stdout.split() == ["runs", "complete"]


def test_results_do_not_depend_on_where_the_trials_ran(toy, tmp_path):
    here = search(Sweep(**toy, out=tmp_path / "here")).records()
    there = search(Sweep(**toy | {"jobs": 1}, out=tmp_path / "there")).records()
    assert [r.metrics for r in here] == [r.metrics for r in there]
    assert [r.candidate for r in here] == [r.candidate for r in there]


def test_the_run_says_what_it_was_made_of(toy, tmp_path):
    search(Sweep(**toy, out=tmp_path))
    said = yamlio.load(tmp_path / "sweep.yaml")
    assert said["trials"] == 4
    assert said["space"]["layers"][0]["schemes"][0]["scheme"] == "prune"
    assert said["objectives"]["objectives"][0]["metric"] == "accuracy"
    resolved = said["resolved"]
    assert resolved["data_digest"] == toy["data"].digest
    assert resolved["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "cpu" in resolved["hardware"]


def test_other_data_under_the_same_name_is_another_sweep(toy, tmp_path):
    search(Sweep(**toy, out=tmp_path))
    x, y = toy["data"].train.x, toy["data"].train.y
    other = datasets.from_tensors(train=(x + 1, y), val=(x, y), test=(x, y), name="toy")
    with pytest.raises(RunError, match="different data"):
        search(Sweep(**toy | {"data": other}, out=tmp_path))

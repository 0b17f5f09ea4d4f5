"""Runs that are moved, seen from elsewhere, shared, locked, or made by somebody else."""

import json
import os
import shutil
import sqlite3
import time

import pytest
from optuna.study import StudyDirection

from autocompress import yamlio
from autocompress.config import Sweep
from autocompress.consent import check_code
from autocompress.errors import RunError
from autocompress.explore import database
from autocompress.explore.database import Database
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.study import Study
from autocompress.explore.trial import Job, run_job
from autocompress.observer import Observer
from autocompress.runs import RunFolder
from autocompress.sweep import resume, search
from autocompress.testing.executors import toy_context

SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}]}
    ],
    "recipe": {"mu": {"steps": 3}, "batch_size": 40},
}


def toy(out, **more):
    context = toy_context()
    given = {"trials": 2, "jobs": 0, "seeding": "none", "sampler": "random", **more}
    return Sweep(model=context.model, data=context.data, space=SPACE, out=out, **given)


class Interrupt(Observer):
    """Interrupts the second trial."""

    def step(self, number, record):
        if (number, record.step) == (1, 1):
            raise KeyboardInterrupt


@pytest.mark.parametrize("days", [-400, 400])
def test_a_run_goes_on_elsewhere_with_another_clock(tmp_path, monkeypatch, days):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(KeyboardInterrupt):
        search(toy("run"), observer=Interrupt())
    shutil.move("run", tmp_path / "there" / "renamed")
    monkeypatch.chdir(tmp_path / "there")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + days * 86400)
    moved = search(toy("renamed"))
    log = (tmp_path / "there" / "renamed" / "trials" / "0001" / "log.txt").read_text()
    assert log.count("step   0") == 1
    monkeypatch.undo()
    alone = search(toy(tmp_path / "alone")).records()
    assert [r.metrics for r in moved.records()] == [r.metrics for r in alone]
    assert all(r.seconds > 0 for r in moved.records())
    assert not (tmp_path / "here" / "run").exists()


def test_a_locked_database_is_one_clear_error_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_WAIT", 0.1)
    url = f"sqlite:///{tmp_path}/a.db"
    ours = Database(url)
    study = ours.create_new_study([StudyDirection.MINIMIZE], "s")
    theirs = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    theirs.execute("BEGIN IMMEDIATE")

    def write(value):
        with ours.transaction():
            ours.set_study_user_attr(study, "a", value)

    with pytest.raises(RunError, match=r"cannot be written: .*locked"):
        write(1)
    theirs.execute("ROLLBACK")
    theirs.close()
    write(2)
    assert ours.get_study_user_attrs(study) == {"a": 2}


def test_a_process_killed_while_it_begins_a_run_leaves_no_obstacle(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / ".lock").touch()
    (run.path / ".sweep.yaml.0a1b2c3d.tmp").write_text("model: dig")
    run.check_free()
    with run.locked():
        run.claim({"model": "digits-cnn"}, {})
    assert sorted(p.name for p in run.path.iterdir()) == [".lock", "sweep.yaml"]


EVIL = "import pathlib; pathlib.Path('was-run').touch()\ndef make(): pass\n"


@pytest.mark.parametrize("place", ["model", "scheme", "file"])
def test_code_named_by_somebody_elses_run_is_not_run_unless_allowed(tmp_path, monkeypatch, place):
    (tmp_path / "theirs.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    scheme = "theirs:make" if place == "scheme" else "prune"
    space = {"name": "x", "layers": [{"match": "*", "schemes": [{"scheme": scheme}]}]}
    values = {
        "model": "theirs:make" if place == "model" else "digits-cnn",
        "data": "digits",
        "metrics": [],
        "space": "space.yaml" if place == "file" else space,
        "resolved": {"format": "autocompress-run/1"},
    }
    (tmp_path / "space.yaml").write_text(yamlio.dumps(space))
    run = tmp_path / "run"
    run.mkdir()
    (run / "sweep.yaml").write_text(yamlio.dumps(values))
    words = "is written out" if place == "file" else "--allow theirs:make"
    with pytest.raises(RunError, match=words):
        resume(run)
    assert not (tmp_path / "was-run").exists()
    if place != "file":
        check_code(RunFolder(run).describe(), ["theirs:make"], run / "sweep.yaml")


@pytest.mark.parametrize(
    "folder", ["../../etc", "/etc", "trials/../../x", "C:/x", "a\\..\\b", "", 7]
)
def test_paths_in_a_study_cannot_leave_the_run(folder):
    record = TrialRecord(3, Status.COMPLETE, folder="trials/0003").to_dict()
    assert TrialRecord.from_dict(record).folder == "trials/0003"
    with pytest.raises(RunError, match=r"trial 3: its folder .* is not a path inside the run"):
        TrialRecord.from_dict({**record, "folder": folder})


def test_a_study_with_such_a_path_is_refused_as_a_whole(tmp_path):
    search(toy(tmp_path / "run")).close()
    with sqlite3.connect(tmp_path / "run" / "study.db") as base:
        select = "SELECT value_json FROM trial_user_attributes WHERE key = 'result'"
        result = json.loads(base.execute(select).fetchone()[0]) | {"folder": "../../secrets"}
        update = "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'result'"
        base.execute(update, [json.dumps(result)])
    base.close()
    with Study.load(tmp_path / "run") as study, pytest.raises(RunError, match="inside the run"):
        study.front()


def test_a_damaged_database_is_one_clear_error(tmp_path):
    search(toy(tmp_path / "run")).close()
    file = tmp_path / "run" / "study.db"
    whole = file.read_bytes()
    for share in (0.1, 0.5, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(RunError, match=r"study\.db cannot be (read|opened): "):
            Study.load(tmp_path / "run").records()


def test_a_storage_that_does_not_answer_is_one_clear_error(tmp_path):
    began = time.monotonic()
    with pytest.raises(RunError, match=r"postgresql.*://u:\*\*\*@localhost:1/x cannot be opened"):
        Database("postgresql://u:secret@localhost:1/x")
    assert time.monotonic() - began < 30  # 5 s, and what a busy machine adds
    with pytest.raises(RunError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path}/no/such/folder/a.db")


def test_a_job_writes_only_into_its_own_folder(tmp_path):
    context = toy_context()
    candidate = {"tasks": [{"name": "../../x", "params": ["*.weight"], "compression": PRUNE}]}
    recipe = {"method": "direct"}
    folder = tmp_path / "trial"
    folder.mkdir()
    run_job(Job(0, {**candidate, "recipe": recipe}, 0, str(folder), ("accuracy",)), context)
    assert os.listdir(tmp_path) == ["trial"]


PRUNE = {"scheme": "prune", "density": 0.5}

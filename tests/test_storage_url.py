"""A study in a database of the user's choice: search, resume, report, best, dashboard, replay."""

import multiprocessing
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
import sqlalchemy

from autocompress import yamlio
from autocompress.config import Sweep
from autocompress.errors import ConfigError, RunError
from autocompress.explore.claims import claimed
from autocompress.explore.database import Database, shown, without_password
from autocompress.explore.study import Study
from autocompress.observer import Observer
from autocompress.runs import RunFolder, open_study
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}]}
    ],
    "recipe": {"mu": {"steps": 2}, "batch_size": 40},
}
SERVER = os.environ.get("AUTOCOMPRESS_TEST_STORAGE", "")
SWEEP = {"model": "digits-cnn", "data": "digits", "space": SPACE, "sampler": "random", "trials": 2}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch, request):
    """Leave out reports, which take seconds, but where they matter."""
    if "every_command" not in request.node.name:
        paths = SimpleNamespace(problems=(), index="")
        monkeypatch.setattr("autocompress.sweep._report", lambda *a: paths)


def toy(out, **more):
    context = toy_context()
    given = {"trials": 2, "jobs": 0, "seeding": "none", "sampler": "random", **more}
    return Sweep(model=context.model, data=context.data, space=SPACE, out=out, **given)


def names(file):
    with closing(sqlite3.connect(file)) as base:
        return [row[0] for row in base.execute("SELECT study_name FROM studies")]


class Interrupt(Observer):
    def step(self, number, record):
        if (number, record.step) == (1, 1):
            raise KeyboardInterrupt


def test_a_study_in_another_database_is_the_same_study(tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(KeyboardInterrupt):
        search(toy(tmp_path / "run", storage=url), observer=Interrupt())
    assert not (tmp_path / "run" / "study.db").exists()
    shutil.move(tmp_path / "run", tmp_path / "moved")  # the study is found by its own name
    with search(toy(tmp_path / "moved", storage=url)) as study:
        found = study.records()
    with search(toy(tmp_path / "run")) as study:
        assert [r.metrics for r in found] == [r.metrics for r in study.records()]
    search(toy(tmp_path / "b" / "run", storage=url)).close()  # another of the same name
    search(toy(tmp_path / "c" / "run", storage=url)).close()
    assert [name.rpartition("-")[0] for name in names(tmp_path / "other.db")] == ["run"] * 3
    with open_study(tmp_path / "moved", url) as study:
        assert study.records() == found


def test_a_run_says_where_its_study_is_and_is_not_mistaken_about_it(tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    search(toy(tmp_path / "far", storage=url)).close()
    search(toy(tmp_path / "near")).close()
    for use in (
        lambda: open_study(tmp_path / "far"),
        lambda: search(toy(tmp_path / "far")),
    ):
        with pytest.raises(RunError, match=r"its study is in a database, sqlite.*--storage URL"):
            use()
    for use in (
        lambda: open_study(tmp_path / "near", url),
        lambda: search(toy(tmp_path / "near", storage=url)),
    ):
        with pytest.raises(RunError, match=r"in the folder itself, in study\.db: leave out"):
            use()
    with pytest.raises(RunError, match="holds no study 'far-"):
        open_study(tmp_path / "far", f"sqlite:///{tmp_path}/wrong.db")


def hold(url, name, ready):
    with claimed(Database(url), name):
        ready.set()
        multiprocessing.Event().wait(60)


def test_a_second_driver_of_the_same_study_is_refused_even_from_a_copy_of_the_run(tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    search(toy(tmp_path / "run", storage=url)).close()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    name = RunFolder(tmp_path / "run").study_name()
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()
    other = fork.Process(target=hold, args=(url, name, ready))
    other.start()
    assert ready.wait(60)
    with pytest.raises(RunError, match=f"another process is running the study '{name}'"):
        search(toy(tmp_path / "copy", storage=url, trials=3))
    other.kill()
    other.join()
    assert len(search(toy(tmp_path / "copy", storage=url, trials=3)).records()) == 3


def test_two_drivers_without_a_lock_cannot_both_have_a_trial(tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    with search(toy(tmp_path / "run", storage=url)):
        pass
    name, model = RunFolder(tmp_path / "run").study_name(), toy_context().model
    one, other = (
        Study.load(tmp_path / "run", storage=url, name=name, model=model) for _ in range(2)
    )
    first = one.ask()
    with pytest.raises(RunError, match="another process is running trials of the same study"):
        other.ask()
    one.tell(first.record("crashed"))
    assert [r.number for r in one.records()] == [0, 1, 2]
    assert [r.status for r in other.records()] == [r.status for r in one.records()]
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("other.db", "is no URL of a database"),
        ("nonsense://u:secret@h/x", "a kind of database that SQLAlchemy does not know"),
        ("postgresql://u:***@h/x", "has no password in it, which is never written down"),
        ("postgresql://u:secret@h:port/x", "is no URL of a database"),
    ],
)
def test_what_is_no_url_is_told_at_once_and_without_its_password(url, words):
    with pytest.raises(ConfigError, match=words) as told:
        toy("run", storage=url)
    assert "secret" not in str(told.value)


def test_a_server_that_does_not_answer_is_told_before_anything_else(tmp_path, monkeypatch):
    def nobody(self, url, engine_kwargs):
        assert engine_kwargs["connect_args"] == {"connect_timeout": 5}
        cause = OSError("connection to h, port 1 failed for u:secret\nand so on")
        raise sqlalchemy.exc.OperationalError(None, None, cause)

    monkeypatch.setattr("optuna.storages.RDBStorage.__init__", nobody)
    monkeypatch.setattr("autocompress.session.Session.load", lambda self: pytest.fail("too late"))
    with pytest.raises(RunError, match=r"u:\*\*\*@h:1/x cannot be opened: .*port 1 failed") as told:
        search(toy(tmp_path / "run", storage="postgresql://u:secret@h:1/x"))
    assert "secret" not in str(told.value)
    assert "and so on" not in str(told.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("postgresql+psycopg://u:secret@h/x", "'psycopg[binary]'"),
        ("postgresql+psycopg2://u:secret@h/x", "'psycopg2-binary'"),
        ("mysql+pymysql://u:secret@h/x", "'pymysql'"),
        ("mysql://u:secret@h/x", "'mysqlclient'"),
    ],
)
def test_a_driver_that_is_missing_is_named(monkeypatch, url, package):
    for name in ("psycopg", "psycopg2", "pymysql", "MySQLdb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunError) as told:
        Database(url)
    assert f"its driver is not installed: pip install {package}" in str(told.value)
    assert "secret" not in str(told.value)


def test_the_password_is_never_written(tmp_path):
    sweep = toy("run", storage="postgresql://u:secret@h/x?password=secret")
    assert "secret" not in repr(sweep) + str(sweep) + yamlio.dumps(sweep.to_dict())
    assert shown("postgresql://u:secret@h:port/x") == "postgresql://u:***@h:port/x"
    assert shown("sqlite:///a.db") == "sqlite:///a.db"
    assert without_password("for u:secret at h", "x://u:secret@h") == "for u:*** at h"
    assert without_password("x://u:secret@h:p", "x://u:secret@h:p") == "x://u:***@h:p"


@pytest.mark.skipif(not SERVER, reason="AUTOCOMPRESS_TEST_STORAGE names no empty database")
def test_a_database_server_holds_the_same_study_and_one_driver(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(toy(tmp_path / "run", storage=SERVER), observer=Interrupt())
    with search(toy(tmp_path / "run", storage=SERVER)) as study:
        found = study.records()
    with search(toy(tmp_path / "lite")) as study:
        assert [r.metrics for r in found] == [r.metrics for r in study.records()]
    shutil.copytree(tmp_path / "run", tmp_path / "copy")

    class Second(Observer):
        def step(self, number, record):
            with pytest.raises(RunError, match="another process is running the study"):
                search(toy(tmp_path / "copy", storage=SERVER, trials=4))

    search(toy(tmp_path / "run", storage=SERVER, trials=3), observer=Second()).close()
    password = sqlalchemy.make_url(SERVER).password
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not password or not any(password.encode() in data for data in files)


@pytest.mark.slow
def test_every_command_takes_it(tmp_path, monkeypatch, capfd, digits_cnn):
    from autocompress.cli import main

    monkeypatch.setitem(sys.modules, "optuna_dashboard", SimpleNamespace(run_server=None))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(x) for x in arguments])
        captured = capfd.readouterr()
        return ended.value.code, captured.out + captured.err

    out, url = tmp_path / "run", f"sqlite:///{tmp_path}/other.db"
    file = tmp_path / "mine.yaml"
    file.write_text(yamlio.dumps({**SWEEP, "storage": url, "jobs": 0, "seeding": "none"}))
    assert run("search", file, "--out", out, "--quiet")[0] == 0
    for command in (["resume"], ["report"], ["best"], ["dashboard"], ["replay"]):
        arguments = [*command, out, *(["1"] if command == ["replay"] else [])]
        code, told = run(*arguments)
        assert (code, "--storage" in told) == (2, True), told
    assert run("resume", out, "--storage", url, "--trials", "3", "--quiet")[0] == 0
    assert run("report", out, "--storage", url)[0] == 0
    assert "trial" in run("best", out, "--storage", url)[1]
    assert run("replay", out, "2", "--storage", url)[0] == 0
    with open_study(out, url) as study:
        assert len(study.records()) == 3
    pages = [p.read_text(errors="replace") for p in (out / "report").rglob("*") if p.is_file()]
    assert pages

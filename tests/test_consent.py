"""Runs made by somebody else: nothing they name is imported, connected to, or written through."""

import os
import shlex
import sqlite3
from types import SimpleNamespace

import pytest

from autocompress import yamlio
from autocompress.cli import main
from autocompress.config import Sweep
from autocompress.consent import Unnamed, may_fetch, own_code, read_sweep, within_reach
from autocompress.errors import RunError
from autocompress.explore.study import Study
from autocompress.going_on import resume_command
from autocompress.runs import RunFolder
from autocompress.sweep import how_to_resume, report, resume, search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
SPACE = {
    "name": "x",
    "layers": [{"match": "*", "schemes": [PRUNE]}],
    "recipe": {"method": "direct"},
}
RUN = {
    "model": "digits-cnn",
    "data": "digits",
    "metrics": [],
    "space": SPACE,
    "objectives": Sweep().load_objectives().to_dict(),
    "trials": 1,
    "resolved": {"format": "autocompress-run/1"},
}
THEIRS = {"scheme": "theirs:make"}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Make a run of somebody else's, with code next to it that tells when it is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("import pathlib; pathlib.Path('was-run').touch()\n")
    (tmp_path / "plan.yaml").write_text(yamlio.dumps({"tasks": [{"compression": THEIRS}]}))

    def make(**changes):
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        (run / "sweep.yaml").write_text(yamlio.dumps({**RUN, **changes}))
        return run

    yield make
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "theirs:make"}, "--allow theirs:make"),
        ({"space": {**SPACE, "layers": [{"match": "*", "schemes": [THEIRS]}]}}, "--allow theirs"),
        ({"seeds": [{"tasks": [{"params": "*", "compression": THEIRS}]}]}, "--allow theirs:make"),
        ({"seeds": ["plan.yaml"]}, "seeds = .* written out"),
        ({"seeds": "plan.yaml"}, "seeds = .* written out"),
        ({"space": "space.yaml"}, "space = 'space.yaml': .* written out"),
        ({"objectives": "objectives.yaml"}, "objectives = .* written out"),
        ({"executor": "ray", "ray": {"address": "evil:6379"}}, "--address evil:6379"),
        ({"executor": "ray", "ray": {"storage_path": "s3://evil"}}, "--storage-path s3://evil"),
        ({"storage": "postgresql://u:***@evil/x"}, "its study is in a database, postgresql://u"),
        ({"data_root": "nowhere/at/all"}, "no folder here: .* --data-root"),
        ({"data_root": "//evil/share"}, "no folder here"),
        ({"data_root": 7}, "no folder here"),
    ],
)
def test_what_a_run_names_is_not_followed(theirs, monkeypatch, changes, words):
    monkeypatch.setattr("autocompress.sweep.search", lambda *a, **k: pytest.fail("it went on"))
    run = theirs(**changes)
    with pytest.raises(RunError, match=words):
        resume(run)
    assert sorted(p.name for p in run.iterdir()) == ["sweep.yaml"]


def test_what_the_user_names_again_is(theirs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("autocompress.sweep.search", lambda sweep, **k: asked.append(sweep))
    there = {"address": "theirs:1", "storage_path": "s3://theirs", "cpus_per_trial": 2}
    run = theirs(executor="ray", ray=there, data_root="nowhere")
    ours = {"address": "ours:1", "storage_path": "s3://ours"}
    resume(run, ray=ours, data_root=str(tmp_path))
    resume(run, executor="local", data_root=str(tmp_path))
    (one, other) = asked
    assert (one.ray.address, one.ray.storage_path) == ("ours:1", "s3://ours")
    assert (one.ray.cpus_per_trial, one.data_root) == (2, str(tmp_path))
    assert (other.ray.address, other.ray.storage_path, other.executor) == (None, None, "local")
    resume(theirs(executor="ray", ray={"address": "auto"}))  # of this machine, whoever says so
    assert asked[-1].ray.address == "auto"


def test_one_error_says_the_whole_command_line_which_then_goes_on(theirs, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("autocompress.sweep.search", lambda sweep, **k: asked.append(sweep))
    monkeypatch.setattr("autocompress.cli.resume.end", lambda study: None)
    there = {"address": "mine:1", "storage_path": "/a b/far", "gpus_per_trial": 0.5}
    database = "postgresql://u@host/x"
    theirs(model="theirs:make", executor="ray", ray=there, storage=database)
    with pytest.raises(SystemExit):
        main(["resume", "run", "--trials", "9", "--gpus-per-trial", "1"])
    told = " ".join(capsys.readouterr().err.split())
    command = told.partition("go on with: ")[2]
    assert command == (
        "autocompress resume run --trials 9 --gpus-per-trial 1.0 --allow theirs:make "
        f"--storage {database} --address mine:1 --storage-path '/a b/far'"
    )
    assert not asked
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code in (None, 0)
    (sweep,) = asked
    assert (sweep.ray.address, sweep.ray.storage_path) == ("mine:1", "/a b/far")
    assert (sweep.storage, sweep.trials, sweep.ray.gpus_per_trial) == (database, 9, 1)
    assert resume_command(sweep.out, {}) == "autocompress resume run"
    assert how_to_resume(sweep.out, sweep).split(" --", 1)[1] == (
        f"allow theirs:make --storage {database} --address mine:1 --storage-path '/a b/far'"
    )


def test_a_storage_that_only_the_study_names_is_in_the_command_line_too(theirs, monkeypatch):
    def search(sweep, **more):
        may_fetch({"uri": "/far", "name": "run-1"}, sweep.ray.storage_path, sweep.out)

    monkeypatch.setattr("autocompress.sweep.search", search)
    words = "resume run --executor local --storage-path /far$"
    with pytest.raises(Unnamed, match=words):
        resume(theirs().name, executor="local", ray={"storage_path": "/other"})


def test_a_password_is_asked_for_and_not_told(theirs):
    with pytest.raises(Unnamed, match=r"with the password in place of \*\*\*"):
        resume(theirs(storage="postgresql://u:***@host/x"))
    command = resume_command(theirs(), {"storage": "postgresql://u:secret@host/x"})
    assert "secret" not in command
    assert "'postgresql://u:***@host/x'" in command


def test_a_runs_file_given_to_search_counts_as_the_runs(theirs, tmp_path):
    file = theirs(model="theirs:make") / "sweep.yaml"
    with pytest.raises(RunError, match="--allow theirs:make"):
        read_sweep(file, {}, ())
    read_sweep(file, {}, ["theirs:make"])
    file = theirs(executor="ray", ray={"address": "evil:1"}) / "sweep.yaml"
    with pytest.raises(RunError, match="--address evil:1"):
        read_sweep(file, {}, ())
    assert "address" not in read_sweep(file, {"ray.address": "evil:1"}, ())["ray"]
    mine = tmp_path / "mine.yaml"
    mine.write_text(yamlio.dumps({"model": "theirs:make", "ray": {"address": "mine:1"}}))
    assert read_sweep(mine, {}, ())["ray"] == {"address": "mine:1"}


def test_code_that_a_run_names_anywhere_is_found(tmp_path):
    values = {**RUN, "model": "torchvision:resnet18", "seeds": [{"tasks": [THEIRS, THEIRS]}]}
    assert own_code(values, tmp_path) == ["theirs:make"]
    assert own_code({**RUN, "seeds": None}, tmp_path) == []


def test_a_strange_ray_section_is_dropped(tmp_path):
    assert within_reach({**RUN, "ray": "evil"}, {}, tmp_path / "s")["ray"] == {}


@pytest.mark.parametrize(
    ("note", "given", "expected"),
    [
        (None, None, False),
        (None, "s3://ours", False),
        ({"uri": "s3://x", "name": "run-1"}, "s3://x", True),
        ({"uri": "s3://x", "name": "run-1"}, "", False),
        ({"uri": "s3://x", "name": "run-1"}, None, "states of interrupted trials may be in s3://x"),
        ({"uri": "s3://x", "name": "run-1"}, "s3://y", "to do without.*add --storage-path s3://x"),
        ({"uri": os.path.abspath("far"), "name": "run-1"}, "far", True),
        ({"uri": "s3://x", "name": "../../home"}, "s3://x", "none of ours"),
        ({"uri": "s3://x", "name": ".."}, "s3://x", "none of ours"),
        ({"uri": 7, "name": "run"}, "s3://x", "none of ours"),
        ("s3://x", "s3://x", "none of ours"),
    ],
)
def test_a_storage_is_fetched_from_and_emptied_only_if_the_user_names_it(
    tmp_path, note, given, expected
):
    if isinstance(expected, bool):
        assert may_fetch(note, given, tmp_path) is expected
    else:
        with pytest.raises(RunError, match=expected):
            may_fetch(note, given, tmp_path)


@pytest.fixture(autouse=True)
def no_plots(monkeypatch, request):
    """Leave out reports, which take seconds, but where they matter."""
    if "report" not in request.node.name:
        paths = SimpleNamespace(problems=(), index="")
        monkeypatch.setattr("autocompress.sweep._report", lambda *a: paths)


def toy(out, **more):
    context = toy_context()
    given = {"trials": 2, "jobs": 0, "seeding": "none", "sampler": "random", **more}
    return Sweep(model=context.model, data=context.data, space=SPACE, out=out, **given)


def test_a_study_that_names_a_storage_does_not_go_on_without_a_word(tmp_path):
    with search(toy(tmp_path / "run")) as study:
        study.set_note("storage", {"uri": str(tmp_path / "far"), "name": "x"})
    state = tmp_path / "far" / "x" / "trials" / "0000" / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.touch()
    with pytest.raises(RunError, match="--storage-path"):
        search(toy(tmp_path / "run", trials=3))
    assert state.exists()
    with search(toy(tmp_path / "run", trials=3, ray={"storage_path": ""})) as study:
        assert study.note("storage") is None
    assert state.exists()


@pytest.mark.parametrize("name", [".lock", "study.db", "trials", "report"])
def test_links_out_of_a_run_are_not_written_through(tmp_path, name):
    search(toy(tmp_path / "run")).close()
    inside, outside = tmp_path / "run" / name, tmp_path / "outside"
    inside.rename(outside)
    before = outside.read_bytes() if outside.is_file() else sorted(outside.rglob("*"))
    inside.symlink_to(outside)
    with pytest.raises(RunError, match=f"{name}: is a link out of the run's folder"):
        search(toy(tmp_path / "run", trials=3))
    assert before == (outside.read_bytes() if outside.is_file() else sorted(outside.rglob("*")))


def test_a_trials_log_is_not_written_through_a_link(tmp_path):
    search(toy(tmp_path / "run")).close()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "run" / "trials" / "0002"
    folder.mkdir()
    (folder / "log.txt").symlink_to(precious)
    with pytest.raises(RunError, match=r"log\.txt: is a link out of the run's folder"):
        search(toy(tmp_path / "run", trials=3))
    assert precious.read_text() == "mine"


def test_a_report_of_somebody_elses_run_imports_and_loads_nothing(theirs, tmp_path, monkeypatch):
    search(toy(tmp_path / "run")).close()
    with sqlite3.connect(tmp_path / "run" / "study.db") as base:  # no test accuracy is known
        base.execute("DELETE FROM study_user_attributes WHERE key LIKE 'note:test:%'")
    base.close()
    there = RunFolder(tmp_path / "run").describe()
    run = theirs(**{**there, "model": "theirs:make", "data": "digits"})
    assert report(run).index.is_file()
    with Study.load(run) as study:
        assert study.tests() == {}


def test_a_report_is_not_written_through_a_link(tmp_path):
    search(toy(tmp_path / "run")).close()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    page = tmp_path / "run" / "report" / "index.html"
    page.unlink()
    page.symlink_to(precious)
    with pytest.raises(RunError, match=r"index\.html: is a link out of the run's folder"):
        report(tmp_path / "run")
    assert precious.read_text() == "mine"

import json
from pathlib import Path

import optuna
import pytest

from autocompress.errors import RunError
from autocompress.explore import opening
from autocompress.explore.database import Database
from autocompress.explore.opening import Setup
from tests.explore.toys import setup


def test_a_setup_survives_json():
    chosen = setup(sweep={"name": "x"}, sampler="tpe")
    stored = json.loads(json.dumps(chosen.to_dict()))
    assert Setup.from_dict(stored, where="f") == chosen
    assert {"python", "torch", "optuna", "autocompress"} <= set(chosen.versions)


def test_a_newer_format_is_refused_and_newer_keys_are_not():
    stored = setup().to_dict()
    assert Setup.from_dict(stored | {"colour": "red"}, where="f") == setup()
    with pytest.raises(RunError, match=r"f was written by a newer autocompress \(9\.9\)"):
        Setup.from_dict(stored | {"format": 2, "versions": {"autocompress": "9.9"}}, where="f")


def test_the_database_is_a_file_in_the_folder_unless_said_otherwise(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path.as_posix()}/run/study.db"
    assert opening.locate(tmp_path / "run", None) == (tmp_path / "run", url)
    assert opening.locate(tmp_path / "run" / "study.db", None) == (tmp_path / "run", url)
    assert opening.locate(tmp_path, "postgresql://x/y") == (tmp_path, "postgresql://x/y")
    monkeypatch.chdir(tmp_path)
    assert opening.locate("run", None) == (Path("run"), url)


def test_several_studies_share_a_server_by_the_names_of_their_folders(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/a.db")
    database.url = "postgresql://server/studies"  # anything but a file of its own
    ids = [opening.create(tmp_path / name, database, setup(seed=i)) for i, name in enumerate("ab")]
    for i, name in enumerate("ab"):
        found, loaded = opening.load(tmp_path / name, database)
        assert (found, loaded.seed) == (ids[i], i)
    with pytest.raises(RunError, match="holds no study 'c'; there are a, b"):
        opening.load(tmp_path / "c", database)
    with pytest.raises(RunError, match="already holds a study"):
        opening.create(tmp_path / "a", database, setup())


def test_somebody_elses_study_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    database = Database(url)
    with pytest.raises(RunError, match="holds no study"):
        opening.load(tmp_path, database)
    optuna.create_study(storage=url, study_name="x")
    with pytest.raises(RunError, match="was not made by autocompress"):
        opening.load(tmp_path, database)


def test_dashboards_see_directions_and_names(tmp_path):
    opening.create(tmp_path / "run", Database(f"sqlite:///{tmp_path}/a.db"), setup())
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{tmp_path}/a.db")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "log10 bytes"]


def test_optuna_is_quiet_but_not_made_louder():
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        opening.quiet()
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        opening.quiet()
        assert optuna.logging.get_verbosity() == optuna.logging.CRITICAL
    finally:
        optuna.logging.set_verbosity(before)

import sqlite3

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from autocompress.errors import RunError
from autocompress.explore.database import Database


@pytest.fixture
def database(tmp_path):
    return Database(f"sqlite:///{tmp_path}/a.db")


def new(database):
    return database.create_new_study([StudyDirection.MINIMIZE], "s")


def attrs(tmp_path):
    """Return what another process sees."""
    return RDBStorage(f"sqlite:///{tmp_path}/a.db").get_study_user_attrs(1)


def test_writes_of_a_transaction_appear_together(database, tmp_path):
    study = new(database)
    with database.transaction():
        database.set_study_user_attr(study, "a", 1)
        database.set_study_user_attr(study, "a", 2)
        database.set_study_user_attr(study, "b", 3)
        assert database.get_study_user_attrs(study) == {"a": 2, "b": 3}
        assert attrs(tmp_path) == {}
    assert attrs(tmp_path) == {"a": 2, "b": 3}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_transaction_that_fails_leaves_nothing(database, tmp_path, error):
    study = new(database)
    with pytest.raises(error), database.transaction():  # noqa: PT012  # an error in its middle
        database.set_study_user_attr(study, "a", 1)
        raise error
    assert attrs(tmp_path) == database.get_study_user_attrs(study) == {}
    database.set_study_user_attr(study, "b", 1)  # and writing goes on
    assert attrs(tmp_path) == {"b": 1}


def test_a_whole_trial_is_one_transaction(database):
    study = new(database)
    commits = []
    execute = database.engine.raw_connection().driver_connection
    execute.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params={"x": 1.0, "y": 2.0},
        distributions=dict.fromkeys("xy", optuna.distributions.FloatDistribution(0, 5)),
        user_attrs={"a": 1},
    )
    with database.transaction():
        number = database.create_new_trial(study, trial)
        database.set_trial_user_attr(number, "b", 2)
    assert commits == ["COMMIT"]
    stored = database.get_trial(number)
    assert (stored.params, stored.user_attrs) == ({"x": 1.0, "y": 2.0}, {"a": 1, "b": 2})


def test_plain_optuna_reads_what_is_written(database, tmp_path):
    new(database)
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/a.db")
    assert study.directions == [StudyDirection.MINIMIZE]


def test_results_wait_for_the_disk_and_readers_for_nobody(database, tmp_path):
    study = new(database)

    def pragma(name):
        return database.scoped_session().connection().exec_driver_sql(f"PRAGMA {name}").scalar()

    with database.transaction(durable=False):
        database.set_study_user_attr(study, "a", 1)
        assert pragma("synchronous") == 1
        assert attrs(tmp_path) == {}
    with database.transaction():
        database.set_study_user_attr(study, "a", 2)
        assert pragma("synchronous") == 2
        assert pragma("journal_mode") == "wal"
        assert attrs(tmp_path) == {"a": 1}
    database.engine.dispose()


def test_a_closed_study_is_one_file(database, tmp_path):
    new(database)
    database.engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_files_that_are_no_database_are_refused(tmp_path):
    (tmp_path / "a.db").write_bytes(b"hello" * 1000)
    with pytest.raises(RunError, match=r"a\.db cannot be opened: .*not a database"):
        Database(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(RunError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path}/missing/a.db")
    with pytest.raises(RunError, match="cannot be opened"):
        Database("nonsense://x")


def test_a_database_that_cannot_be_written_says_so(database, monkeypatch):
    study = new(database)

    def full(connection):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database.engine.dialect, "do_commit", full)

    def write():
        with database.transaction():
            database.set_study_user_attr(study, "a", 1)

    with pytest.raises(RunError, match=r"cannot be written: .*disk is full"):
        write()
    monkeypatch.undo()
    write()
    assert database.get_study_user_attrs(study) == {"a": 1}

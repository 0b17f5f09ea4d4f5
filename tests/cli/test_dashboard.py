import sys
from types import ModuleType

import pytest
from optuna.exceptions import StorageInternalError


@pytest.fixture
def served(monkeypatch):
    """Stand in for optuna-dashboard; returns what it was asked to serve."""
    calls = []
    module = ModuleType("optuna_dashboard")
    module.run_server = lambda storage, **where: calls.append((storage, where))
    monkeypatch.setitem(sys.modules, "optuna_dashboard", module)
    return calls


def test_a_run_is_shown_on_this_machine_only_and_cannot_be_changed(run, finished, served):
    said = run("dashboard", finished)
    assert said.code == 0, said.err
    assert "http://127.0.0.1:8080/" in said.out
    ((storage, where),) = served
    assert where == {"host": "127.0.0.1", "port": 8080}
    (study,) = storage.get_all_studies()
    assert len(storage.get_all_trials(study._study_id)) == 3
    with pytest.raises(StorageInternalError):
        storage.delete_study(study._study_id)
    assert run("dashboard", finished, "--host", "0.0.0.0", "--port", 9000).code == 0
    assert served[1][1] == {"host": "0.0.0.0", "port": 9000}


def test_without_the_package_there_is_one_line_that_says_what_to_install(
    run, finished, monkeypatch
):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    said = run("dashboard", finished)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "pip install 'autocompress[dashboard]'" in said.err


def test_what_is_no_run_is_one_clear_error(run, tmp_path, served):
    said = run("dashboard", tmp_path)
    assert said.code == 2
    assert "holds no study" in said.err
    assert not served

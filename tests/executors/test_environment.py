import os

from autocompress.executors.environment import environment


def test_variables_are_as_they_were_afterwards(monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_A", "1")
    monkeypatch.delenv("AUTOCOMPRESS_B", raising=False)
    with environment({"AUTOCOMPRESS_A": "2", "AUTOCOMPRESS_B": "3"}):
        assert (os.environ["AUTOCOMPRESS_A"], os.environ["AUTOCOMPRESS_B"]) == ("2", "3")
    assert os.environ["AUTOCOMPRESS_A"] == "1"
    assert "AUTOCOMPRESS_B" not in os.environ

import threading

import pytest

from autocompress.storage import locking

fcntl = pytest.importorskip("fcntl")


class Refused(Exception):
    pass


def held(path):
    """Hold a file's lock as another process would."""
    file = open(path, "w")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_what_another_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "_PATIENCE", 0.0)
    other = held(tmp_path / "lock")
    with pytest.raises(Refused), locking.locked(tmp_path / "lock", Refused()):
        pass
    other.close()
    with locking.locked(tmp_path / "lock", Refused()):
        pass


def test_what_another_is_about_to_free_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "_PATIENCE", 60.0)
    other = held(tmp_path / "lock")
    threading.Timer(0.2, other.close).start()
    with locking.locked(tmp_path / "lock", Refused()):
        assert other.closed

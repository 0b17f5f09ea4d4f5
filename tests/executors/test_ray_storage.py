from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from autocompress.errors import ConfigError, ExecutorError
from autocompress.executors.ray.storage import Storage


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_go_there_and_come_back(tmp_path, scheme):
    storage = Storage(f"{scheme}{tmp_path / 'far'}", "run")
    near = tmp_path / "near"
    near.write_bytes(b"state")
    storage.put(near, "trials/0003/state.safetensors")
    storage.put(near, "trials/0003/state.safetensors")  # replaced
    assert not list((tmp_path / "far").rglob("*.tmp"))
    assert storage.get("trials/0003/state.safetensors", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"state"
    assert not storage.get("trials/0004/state.safetensors", tmp_path / "none")
    storage.remove("trials/0003")
    storage.remove("trials/0003")
    assert not storage.get("trials/0003/state.safetensors", tmp_path / "none")


def test_reclaiming_takes_states_home_and_nothing_else(tmp_path):
    storage = Storage(str(tmp_path / "far"), "run")
    near = tmp_path / "near"
    near.write_bytes(b"state")
    names = ["trials/0003", "trials/0004/repeats/1", "elsewhere/0005", "trials/x"]
    for name in names:
        storage.put(near, f"{name}/state.safetensors")
    storage.put(near, "trials/0003/other")
    run = tmp_path / "home"
    assert storage.reclaim(run) == names[:2]
    files = sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
    assert files == [f"{name}/state.safetensors" for name in names[:2]]
    assert storage.reclaim(run) == []


def test_a_storage_that_cannot_be_used_is_told(tmp_path):
    with pytest.raises(ConfigError, match="storage_path = 'nonsense://x'"):
        Storage("nonsense://x", "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExecutorError, match="cannot be written to"):
        Storage(str(tmp_path / "file"), "run").put(Path(__file__), "trials/0000/state.safetensors")

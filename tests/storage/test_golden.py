"""Files written by earlier versions are read for ever, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autocompress.compression.registry import CODES
from autocompress.storage import read, write
from tests.storage import make_golden
from tests.storage.make_golden import CASES, FOLDER, MANIFEST, facts, fingerprint, path_of

GOLDEN: dict[str, dict[str, Any]] = json.loads(MANIFEST.read_text())


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_golden_file_decodes_to_what_it_always_did(name: str) -> None:
    assert facts(FOLDER / name) == GOLDEN[name]


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_it_can_be_written_again(name: str, entropy: bool, tmp_path: Path) -> None:
    golden = path_of(name, entropy=entropy)
    write(tmp_path / "again", read(golden), entropy=not entropy)
    tensors = read(tmp_path / "again").state_dict()
    expected = GOLDEN[golden.name]["tensors"]
    assert {key: fingerprint(t) for key, t in tensors.items()} == expected


def test_every_file_is_in_the_manifest_and_every_case_has_its_files() -> None:
    assert {path.name for path in FOLDER.glob("*.safetensors")} == set(GOLDEN)
    wanted = {path_of(name, entropy=e).name for name in CASES for e in (False, True)}
    assert wanted <= set(GOLDEN)


@pytest.mark.parametrize("version", [1, 2])
def test_every_kind_of_code_has_a_golden_file(version: int) -> None:
    """One missing: add a line to CASES and run ``python -m tests.storage.make_golden``."""
    covered = {
        k for entry in GOLDEN.values() if entry["version"] == version for k in entry["kinds"]
    }
    assert covered == set(CODES)


def test_golden_files_are_never_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_golden, "FOLDER", tmp_path)
    monkeypatch.setattr(make_golden, "MANIFEST", tmp_path / "manifest.json")
    monkeypatch.setattr(make_golden, "CASES", {"dense": CASES["dense"]})
    make_golden.main()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3
    monkeypatch.setattr(make_golden, "CASES", {"dense": CASES["codebook-1"]})
    make_golden.main()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "dense.plain.safetensors").unlink()  # gone, but still promised
    make_golden.main()
    assert not (tmp_path / "dense.plain.safetensors").exists()

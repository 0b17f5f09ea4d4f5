"""Names of other people's schemes: who may resolve them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autocompress.compression.extension import extensions
from autocompress.compression.registry import from_dict, to_dict
from autocompress.errors import SchemeError
from autocompress.recipe import Candidate

MODULE = "traced_schemes"
SOURCE = """
from pathlib import Path
from autocompress.compression import Prune
from dataclasses import dataclass
Path(__file__).with_name("imported").touch()

def halved(weight, times: int = 1):
    return weight / 2**times

number = 3
ready = Prune(0.5)
class NoScheme: ...
"""
PLAN = {"scheme": f"{MODULE}:halved", "times": 2}


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that exists once the module has been imported."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extensions, "EXTENSIONS", {})
    yield tmp_path / "imported"
    sys.modules.pop(MODULE, None)


def test_reading_json_imports_nothing(trace: Path) -> None:
    with pytest.raises(SchemeError, match=r"traced_schemes:halved.*only imported for a plan"):
        from_dict(PLAN)
    with extensions.reading():
        kept = from_dict(PLAN)
    assert isinstance(kept, extensions.Unknown)
    assert to_dict(kept) == PLAN
    assert kept.describe() == "traced_schemes:halved(times=2)"
    with pytest.raises(SchemeError, match="schemes="):
        kept.project((), mu=1.0)
    assert not trace.exists()


def test_a_plan_of_ones_own_does(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "tasks:\n  - {name: a, params: w, compression: {scheme: compose, of: "
        "[{scheme: prune, density: 0.5}, {scheme: 'traced_schemes:halved'}]}}\n"
    )
    plan = Candidate.load(path).plan
    assert trace.exists()
    assert to_dict(plan.tasks[0].compression)["of"][1] == PLAN | {"times": 1}
    assert from_dict(PLAN).name == f"{MODULE}:halved"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:X", "cannot import 'no_such_module'"),
        (f"{MODULE}:halfed", "did you mean 'halved'"),
        (f"{MODULE}:number", "int is not a scheme"),
        (f"{MODULE}:ready", "Prune is not a scheme"),
        (f"{MODULE}:NoScheme", "not a scheme"),
        (f"{MODULE}:", "expected module:Class"),
    ],
)
def test_names_that_lead_nowhere(trace: Path, name: str, words: str) -> None:
    with pytest.raises(SchemeError, match=words):
        extensions.allow_in([{"tasks": {"scheme": name}}], where="plan.yaml")


def test_a_class_found_under_another_name_has_both(trace: Path) -> None:
    cls = extensions.register(extensions.allow(f"{MODULE}:halved"), "short:name")
    assert extensions.find("short:name") is cls is extensions.find(f"{MODULE}:halved")
    assert extensions.names_in({"x": [{"scheme": "a:b"}, {"scheme": "prune"}]}) == ["a:b"]

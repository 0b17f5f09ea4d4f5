"""An extension in a package of its own, from a plan to a finished search."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.compression.extension import extensions
from autocompress.errors import PackedFileError

PACKAGE = "outlier_schemes"
SOURCE = '''
"""Column means plus outliers: a scheme and a code that autocompress does not have."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from autocompress.compression.base import Code, Compression, InnerCode, refuse, require_finite
from autocompress.compression.dense import DenseCode
from autocompress.errors import SchemeError


@dataclass(frozen=True, eq=False)
class RowCode(InnerCode):
    """One number for each row."""

    kind: ClassVar[str] = "outlier_schemes.rows"
    inner: Code
    shapes: tuple

    def decode(self):
        parts = zip(self.inner.decode(), self.shapes, strict=True)
        return tuple(
            row.reshape(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
            for row, shape in parts
        )

    def own_bits(self):
        return 0

    def tensors(self):
        return {}

    def meta(self):
        return {"shapes": [list(shape) for shape in self.shapes]}

    @classmethod
    def restore(cls, meta, tensors, children):
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        for row, shape in zip(children["inner"].decode(), shapes, strict=True):
            if tuple(row.shape) != shape[:1]:
                raise ValueError(f"{tuple(row.shape)} rows for {shape}")
        return cls(children["inner"], shapes)


@dataclass(frozen=True)
class RowMeans(Compression):
    """The nearest tensor whose rows are constant, shrunk towards zero."""

    name: ClassVar[str] = "row-means"
    codes: ClassVar[tuple[type[Code], ...]] = (RowCode,)
    ranges: ClassVar[dict] = {"keep": {"low": 0.5, "high": 1.0}}
    keep: float

    def __post_init__(self):
        if not 0 < self.keep <= 1:
            raise SchemeError(f"keep = {self.keep!r} is not in (0, 1]")

    def project(self, weights, *, mu, previous=None, weighting=None):
        refuse(self.name, weighting)
        rows = []
        for weight in weights:
            require_finite(weight)
            wide = weight.detach().double().reshape(len(weight), -1)
            rows.append((self.keep * wide.mean(1)).to(weight.dtype))
        flat = torch.cat(rows)
        inner = DenseCode(flat, tuple(tuple(r.shape) for r in rows), flat.dtype)
        return RowCode(inner, tuple(tuple(w.shape) for w in weights))


def stepped(weight, step: float = 0.1):
    """Multiples of a step."""
    return (weight / step).round() * step
'''
PLAN = f"""
tasks:
  - {{name: conv, params: ["0.weight"], compression: {{scheme: "{PACKAGE}:RowMeans", keep: 1.0}}}}
  - name: rest
    params: ["*.weight", "!0.weight"]
    compression: {{scheme: "{PACKAGE}:stepped", step: 0.05}}
recipe: {{method: direct}}
"""
SPACE: dict[str, Any] = {
    "name": "outliers",
    "layers": [
        {
            "match": "*",
            "schemes": [
                {"scheme": f"{PACKAGE}:RowMeans"},
                {"scheme": f"{PACKAGE}:stepped", "step": {"low": 0.01, "high": 0.2, "log": True}},
            ],
        }
    ],
    "recipe": {"mu": {"steps": 1}},
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the package is in; known to nobody yet."""
    folder = tmp_path / "site"
    (folder / PACKAGE).mkdir(parents=True)
    (folder / PACKAGE / "__init__.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(extensions, "EXTENSIONS", {})
    yield folder
    sys.modules.pop(PACKAGE, None)


def in_a_new_process(folder: Path, script: str, *arguments: object) -> str:
    """Run a script that finds the package only if it looks for it."""
    head = f"import sys; sys.path.insert(0, {str(folder)!r}); import autocompress as ac\n"
    command = [sys.executable, "-c", head + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_a_plan_in_yaml_to_a_file_and_back(
    package: Path, tmp_path: Path, digits_cnn: torch.nn.Module, capfd: pytest.CaptureFixture[str]
) -> None:
    from autocompress.cli import main

    plan, out = tmp_path / "plan.yaml", tmp_path / "m.safetensors"
    text = PLAN.replace("0.weight", next(n for n, _ in digits_cnn.named_parameters()))
    plan.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["compress", "--plan", str(plan), "--out", str(out), "--quiet", "--entropy"])
    assert ended.value.code == 0, capfd.readouterr().err
    # whoever has neither the package nor its name in a configuration
    sys.modules.pop(PACKAGE)
    extensions.EXTENSIONS.clear()
    with pytest.raises(PackedFileError, match=r"outlier_schemes\.rows.*codes="):
        ac.load(out, digits_cnn)
    assert PACKAGE not in sys.modules
    module = importlib.import_module(PACKAGE)
    inert = ac.load(out, digits_cnn, codes=[module.RowCode])
    assert isinstance(inert.plan.tasks[0].compression, extensions.Unknown)
    whole = ac.load(out, digits_cnn, schemes=[module.RowMeans, module.stepped])
    assert whole.plan.tasks[0].compression == module.RowMeans(1.0)
    assert whole.plan.tasks[1].compression == ac.scheme(module.stepped, step=0.05)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, inert.model.state_dict()[name])
    assert not extensions.EXTENSIONS  # schemes= is for that one file
    script = (
        "from autocompress import storage\n"
        "try: storage.read(sys.argv[1])\n"
        "except ac.errors.PackedFileError as e: print(e)\n"
        f"print('{PACKAGE}' in sys.modules)"
    )
    said = in_a_new_process(package, script, out)
    assert "codes=" in said
    assert said.endswith("False\n")


def test_a_search_in_worker_processes(
    package: Path, tmp_path: Path, digits_cnn: torch.nn.Module
) -> None:
    sweep = ac.Sweep(
        model="digits-cnn", data="digits", space=SPACE, trials=3, jobs=1, out=tmp_path / "run"
    )
    study = ac.search(sweep)
    records = study.records()
    assert [record.status for record in records if record.number > 0] == ["complete"] * 2
    text = (tmp_path / "run" / "sweep.yaml").read_text()
    assert f"{PACKAGE}:RowMeans" in text
    # another process reads the study, and goes on: what it may import its user has to name
    script = (
        "from autocompress.explore.study import Study\n"
        "study = Study.load(sys.argv[1])\n"
        "print(len(study.records()), len(study.front()) > 0)\n"
        "study.close()\n"
        "try: ac.resume(sys.argv[1], trials=5)\n"
        "except ac.errors.RunError as e: print(e)\n"
        f"print('{PACKAGE}' in sys.modules)\n"
        "from autocompress.report import build\n"
        'build.render = lambda figure: {"svg": b""}  # pictures take seconds\n'
        f"mine = ['{PACKAGE}:RowMeans', '{PACKAGE}:stepped']\n"
        "study = ac.resume(sys.argv[1], trials=5, jobs=0, allow=mine)\n"
        "print([r.status.value for r in study.records()])\n"
    )
    said = in_a_new_process(package, script, tmp_path / "run")
    assert said.startswith("3 True\n")
    assert f"--allow {PACKAGE}:" in said
    assert "False\n" in said
    assert said.count("complete") == 5


def test_scheme_objects_in_a_space(package: Path, tmp_path: Path) -> None:
    """Python code hands over the class with the object; nothing needs to be registered."""
    module = importlib.import_module(PACKAGE)
    rule = {"match": "*", "schemes": [module.RowMeans(0.9), ac.scheme(module.stepped, step=0.3)]}
    from autocompress.explore.space import SearchSpace

    space = SearchSpace.from_dict({"layers": [rule]})
    assert [cls.__name__ for cls in space.extensions()] == ["RowMeans", "stepped"]
    again = SearchSpace.from_dict(space.to_dict())
    assert again == space
    assert extensions.find(f"{PACKAGE}:RowMeans") is module.RowMeans


def test_the_contract_proves_the_extension(package: Path, tmp_path: Path) -> None:
    """One test class, collected and run by pytest as a user would."""
    test = tmp_path / "test_outlier_schemes.py"
    test.write_text(
        "import autocompress as ac\n"
        "from autocompress.testing import CompressionContract\n"
        f"from {PACKAGE} import RowMeans, stepped\n\n"
        "class TestRowMeans(CompressionContract):\n"
        "    optimal = False\n"
        "    def make(self):\n"
        "        return [RowMeans(1.0), RowMeans(0.5), ac.scheme(stepped, step=0.25)]\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir"]
    environment = {"PYTHONPATH": str(package)}
    import os

    done = subprocess.run(
        [*command, str(tmp_path), str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout

"""The folder of a run: what is where, whose it is, and that only one process works in it."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from autocompress import yamlio
from autocompress.errors import RunError
from autocompress.explore.opening import versions
from autocompress.explore.study import Study
from autocompress.explore.trial import LOG, WARM
from autocompress.metrics import fingerprint
from autocompress.storage import atomic, locking

FORMAT = "autocompress-run/1"
SAME = (
    "model",
    "data",
    "space",
    "objectives",
    "limits",
    "latency",
    "metrics",
    "seed",
    "sampler",
    "target",
    "minimize",
    "halving",
    "continuation",
    "seeds",
)
"""Keys of a sweep that make it another sweep when they change; the others may be changed freely."""
_ABSENT: Mapping[str, Any] = {"continuation": False, "seeds": []}
"""What runs begun before these keys were there did."""


class RunFolder:
    """``sweep.yaml``, ``study.db``, ``reference.safetensors``, ``trials/`` and ``report/``.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.sweep = self.path / "sweep.yaml"
        self.study = self.path / "study.db"
        self.reference = self.path / "reference.safetensors"
        self.report = self.path / "report"

    @classmethod
    def existing(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Return the folder of a run that was begun.

        Raises:
            RunError: there is none.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(f"{run.path}: there is no such run folder")
        if not run.sweep.is_file():
            raise RunError(f"{run.path}: is not a run folder: it holds no sweep.yaml")
        return run

    def trial(self, number: int) -> Path:
        """Return a trial's folder."""
        return self.path / self.relative(number)

    def relative(self, number: int) -> str:
        """Return a trial's folder as stored in its record: relative to the run."""
        return f"trials/{number:04d}"

    def warm(self, number: int | None) -> str | None:
        """Return the file of a trial's end that another begins with; None for no trial."""
        return None if number is None else str(self.trial(number).resolve() / WARM)

    def new_replay(self, number: int) -> Path:
        """Make and return a folder for one more replay of a trial: ``replays/0007-1`` and so on."""
        for count in itertools.count(1):
            path = self.path / "replays" / f"{number:04d}-{count}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return path
        raise AssertionError  # never reached: counting does not end

    def describe(self) -> dict[str, Any]:
        """Return what ``sweep.yaml`` says: the sweep's keys, and under ``resolved`` the rest.

        Raises:
            RunError: it is damaged, or was written by a newer version.
            ConfigError: it is not readable YAML.
        """
        values = yamlio.load(self.sweep)
        resolved = values.get("resolved")
        if not isinstance(resolved, Mapping) or "format" not in resolved:
            raise RunError(
                f"{self.sweep}: is a sweep to run, not one that ran: {self.path} holds no run"
            )
        if resolved["format"] != FORMAT:
            raise RunError(
                f"{self.sweep}: was written by another version of autocompress "
                f"({resolved['format']}, this one writes {FORMAT})"
            )
        return values

    def check_free(self) -> None:
        """Check, before anything is done, that the folder is a run or may become one.

        Raises:
            RunError: it holds other things, or is no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: is a file: choose another --out")
        known = (".lock", self.sweep.name)
        if self.path.is_dir() and not self.sweep.is_file():
            others = (p for p in self.path.iterdir() if p.name not in known)
            strange = [path.name for path in others if not atomic.is_unfinished(path)]
            if strange:
                raise RunError(
                    f"{self.path}: holds other files ({sorted(strange)[0]}) and no sweep: "
                    f"choose another --out"
                )

    def claim(self, sweep: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
        """Make the folder this sweep's, or check that it is already.

        Args:
            sweep: The sweep's JSON form.
            resolved: What else makes it what it is (digests), and what is good to know.

        Raises:
            RunError: it holds another sweep, or other things.
        """
        self.check_free()
        if self.sweep.is_file():
            self._check_same(sweep, resolved)
        self.path.mkdir(parents=True, exist_ok=True)
        atomic.remove_unfinished(self.path)
        facts = {
            "format": FORMAT,
            **resolved,
            "versions": versions(),
            "hardware": fingerprint(),
            "written": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        }
        text = yamlio.dumps({**sweep, "out": str(self.path), "resolved": facts})
        atomic.write_text(self.sweep, text)

    def study_name(self) -> str:
        """Return what the run's study is called in a database that others use, too."""
        known = self.describe()["resolved"].get("study") if self.sweep.is_file() else None
        return str(known or f"{self.path.resolve().name}-{secrets.token_hex(4)}")

    def check_storage(self, values: Mapping[str, Any], storage: str | None) -> None:
        """Check that a database is named if, and only if, the run has its study in one.

        Args:
            values: What :meth:`describe` returned.
            storage: The URL that the user names.

        Raises:
            RunError: it is not so.
        """
        there = values.get("storage")
        if there and not storage:
            raise RunError(
                f"{self.path}: its study is in a database, {there}: name that again, with "
                f"--storage URL (storage=... in Python)"
            )
        if storage and not there:
            raise RunError(
                f"{self.path}: its study is in the folder itself, in {self.study.name}: leave out "
                f"--storage, or begin another run"
            )

    def _check_same(self, sweep: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
        there = self.describe()
        self.check_storage(there, sweep.get("storage"))
        here = yamlio.loads(yamlio.dumps(sweep))
        there = {**_ABSENT, **there}
        differ = [key for key in SAME if there.get(key) != here.get(key)]
        facts = there["resolved"]
        differ += [
            key.removesuffix("_digest")
            for key in ("model_digest", "data_digest")
            if facts.get(key) != resolved.get(key)
        ]
        if differ:
            raise RunError(
                f"{self.path}: holds another sweep (different {', '.join(dict.fromkeys(differ))}): "
                f"continue that one with 'autocompress resume {self.path}', or choose another --out"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from working in this run; freed however this process ends.

        Raises:
            RunError: another process does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check_links(".lock", self.study.name, "trials", "replays", self.report.name)
        refused = RunError(f"{self.path}: another process is running this sweep")
        with locking.locked(self.path / ".lock", refused):
            yield

    def check_links(self, *names: str) -> None:
        """Check that files and folders to be written, relative to the run, are no links out of it.

        Raises:
            RunError: one is.
        """
        here = self.path.resolve()
        for name in names:
            path = self.path / name
            if not path.resolve().is_relative_to(here):
                raise RunError(f"{path}: is a link out of the run's folder, not to be written to")

    def make(self, relative: str) -> Path:
        """Make the folder of a trial, given relative to the run, and return it.

        Raises:
            RunError: it, or its log, is a link out of the run.
        """
        self.check_links(relative, f"{relative}/{LOG}")
        path = self.path / relative
        path.mkdir(parents=True, exist_ok=True)
        return path

    def make_report(self) -> Path:
        """Return the report's folder, where nothing leads out of the run."""
        found = self.report.rglob("*") if self.report.is_dir() else ()
        self.check_links(self.report.name, *(str(p.relative_to(self.path)) for p in found))
        return self.report


def open_study(
    path: str | Path, storage: str | None = None, *, model: nn.Module | None = None
) -> Study:
    """Open the study of a run, in its folder or in the database that the user names.

    Args:
        path: The run's folder, or its SQLite file.
        storage: SQLAlchemy URL of the database that the study is in; None for the folder's own.
        model: The reference model, to go on with the study.

    Raises:
        RunError: there is no study, or it is elsewhere.
    """
    run = RunFolder(path)
    if storage is None and (run.study.is_file() or not run.sweep.is_file()):
        return Study.load(path, model=model)
    values = RunFolder.existing(path).describe()
    run.check_storage(values, storage)
    return Study.load(path, model=model, storage=storage, name=values["resolved"].get("study"))

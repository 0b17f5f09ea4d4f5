"""The folder of a run: what is where, whose it is, and that only one process works in it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autocompress import yamlio
from autocompress.compression.extension import extensions
from autocompress.errors import RunError
from autocompress.explore.opening import versions
from autocompress.metrics import fingerprint
from autocompress.storage import atomic

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

    def own_code(self, values: Mapping[str, Any]) -> list[str]:
        """Return what ``sweep.yaml`` names of somebody's own code, as ``module:name``.

        Args:
            values: What :meth:`describe` returned.

        Raises:
            RunError: its space is not written out, as that of a run is.
        """
        model, space = values.get("model"), values.get("space")
        if not isinstance(space, Mapping):  # a file's name: who knows what that file names
            raise RunError(f"{self.sweep}: space = {space!r}: that of a run is written out")
        own = [model] if isinstance(model, str) and ":" in model else []
        own = [name for name in own if not name.startswith("torchvision:")]
        return list(dict.fromkeys([*own, *extensions.names_in(space)]))

    def check_code(self, values: Mapping[str, Any], allow: Iterable[str]) -> None:
        """Check that the user allows all the code that going on with the run would import.

        A run's folder may come from somebody else; a name in it is no reason to run anything.

        Args:
            values: What :meth:`describe` returned.
            allow: What the user has named.

        Raises:
            RunError: something else is named.
        """
        strange = [name for name in self.own_code(values) if name not in set(allow)]
        if strange:
            flags = " ".join(f"--allow {name}" for name in strange)
            raise RunError(
                f"{self.path}: this run names code that it would import: {', '.join(strange)}; if "
                f"you know and trust it, add {flags} (allow={strange!r} in Python)"
            )

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

    def _check_same(self, sweep: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
        there = self.describe()
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
        with open(self.path / ".lock", "w", encoding="utf-8") as file:
            if not _lock(file.fileno()):
                raise RunError(f"{self.path}: another process is running this sweep")
            yield


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: go without
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: go without
        return True
    return True

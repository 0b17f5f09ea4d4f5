"""What a run may not decide by itself: code to import, and places to reach out to.

The ``sweep.yaml`` and the study of a run may have been written by anybody. Whatever in them names
code, a cluster, a database or a storage is followed only if the user names it again; see
``docs/faults.md``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autocompress import yamlio
from autocompress.compression.extension import extensions
from autocompress.errors import RunError
from autocompress.going_on import Flag


class Unnamed(RunError):
    """A run names code or places that its user has not named.

    Args:
        run: The run's folder.
        found: What each of them is.
        flags: What names them on the command line.
        command: The whole command line, where that is known.
    """

    def __init__(
        self, run: Path, found: Sequence[str], flags: Sequence[Flag], command: str = ""
    ) -> None:
        self.run, self.found, self.flags = run, found, flags
        add = " ".join(shlex.join(flag) for flag in flags)
        how = f"go on with: {command}" if command else f"add {add}"
        if any("***" in value for _, value in flags):
            how += "  (with the password in place of ***)"
        super().__init__(
            f"{run}: {'; '.join(found)}: a run is not followed to where it says; if you know and "
            f"trust that, {how}"
        )


_FOLDER = re.compile(r"\w[\w.-]*")
"""What a run's folder in a storage is called: a plain name."""


def own_code(values: Mapping[str, Any], where: Path) -> list[str]:
    """Return what a run's ``sweep.yaml`` names of somebody's own code, as ``module:name``.

    Args:
        values: The file's keys.
        where: The file.

    Raises:
        RunError: it names files, where those of a run are written out: who knows what they name.
    """
    model, space, seeds = values.get("model"), values.get("space"), values.get("seeds") or []
    for key in ("space", "objectives"):
        if not isinstance(values.get(key) or {}, Mapping) or (key == "space" and not space):
            raise RunError(f"{where}: {key} = {values.get(key)!r}: that of a run is written out")
    if not isinstance(seeds, list) or not all(isinstance(seed, Mapping) for seed in seeds):
        raise RunError(f"{where}: seeds = {seeds!r}: those of a run are written out")
    own = [model] if isinstance(model, str) and ":" in model else []
    own = [name for name in own if not name.startswith("torchvision:")]
    return list(dict.fromkeys([*own, *extensions.names_in([space, seeds])]))


def check_code(values: Mapping[str, Any], allow: Iterable[str], where: Path) -> None:
    """Check that the user allows all the code that going on with a run would import.

    Args:
        values: The keys of its ``sweep.yaml``.
        allow: What the user has named.
        where: The file.

    Raises:
        Unnamed: something else is named.
    """
    found, flags = _unnamed_code(values, allow, where)
    if flags:
        raise Unnamed(where.parent, found, flags)


def _unnamed_code(
    values: Mapping[str, Any], allow: Iterable[str], where: Path
) -> tuple[list[str], list[Flag]]:
    allowed = set(allow)
    strange = [name for name in own_code(values, where) if name not in allowed]
    found = [f"it names code that it would import, {', '.join(strange)}"] if strange else []
    return found, [("--allow", name) for name in strange]


def read_sweep(file: Path, given: Mapping[str, Any], allow: Iterable[str]) -> dict[str, Any]:
    """Read a sweep that the user has named; what a run has written counts as the run's.

    Args:
        file: The YAML file.
        given: What the user says besides, by dotted key.
        allow: Code that the user has named.

    Raises:
        ConfigError: it is not readable.
        Unnamed: it is that of a run, and names what the user does not.
    """
    values = yamlio.load(file)
    if "resolved" not in values:
        return values
    return within_reach(values, given, file, allow)


def within_reach(
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    where: Path,
    allow: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return the keys of a run's ``sweep.yaml`` without those by which it would reach out.

    Args:
        values: The file's keys.
        given: What the user says, by dotted key; None where nothing is said.
        where: The file.
        allow: Code that the user has named; None where it does not matter, or was checked.

    Returns:
        The keys. A place that the user has named is not among them either: it is in ``given``.

    Raises:
        Unnamed: the run names code, a cluster, a storage or a database and the user does not.
        RunError: its data lie where there is no folder.
    """
    kept = dict(values)
    ray = values.get("ray")
    kept["ray"] = ray = dict(ray) if isinstance(ray, Mapping) else {}
    kept["storage"] = None
    on_ray = (given.get("executor") or values.get("executor")) == "ray"
    address, storage_path = ray.pop("address", None), ray.pop("storage_path", None)
    if address == "auto":  # the cluster of this machine, whoever says so
        ray["address"] = "auto"
        address = None
    asked = [("storage", "--storage", values.get("storage"), "its study is in a database")]
    if on_ray:
        asked += [
            ("ray.address", "--address", address, "it would connect to a Ray cluster"),
            (
                "ray.storage_path",
                "--storage-path",
                storage_path,
                "its files pass through a storage",
            ),
        ]
    missing = [each for each in asked if each[2] and given.get(each[0]) is None]
    found, flags = ([], []) if allow is None else _unnamed_code(values, allow, where)
    found += [f"{what}, {there}" for _, _, there, what in missing]
    flags += [(flag, str(there)) for _, flag, there, _ in missing]
    if flags:
        raise Unnamed(where.parent, found, flags)
    _check_data_root(values.get("data_root"), given.get("data_root"), where)
    return kept


def _check_data_root(there: Any, given: Any, where: Path) -> None:
    """Check that a run's data are to be read, and not to be put or looked for somewhere."""
    if given is not None or there is None:
        return
    if not isinstance(there, str) or there.startswith(("//", "\\\\")) or not Path(there).is_dir():
        raise RunError(
            f"{where.parent}: its data were in {there!r}, which is no folder here: say where they "
            f"are with --data-root DIR (data_root=... in Python)"
        )


def may_fetch(note: Any, given: str | None, run: Path) -> bool:
    """Return whether states of interrupted trials may be fetched from the storage a study names.

    What is fetched is removed there, too.

    Args:
        note: What the study remembers of it: ``uri`` and ``name``; None for none.
        given: The storage that the user names; ``""`` to do without what is there.
        run: The run's folder.

    Raises:
        Unnamed: the user names none, or another.
        RunError: it is no storage of ours.
    """
    if note is None:
        return False
    uri, name = (note.get("uri"), note.get("name")) if isinstance(note, Mapping) else (None, None)
    if not isinstance(uri, str) or not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise RunError(f"{run}: the storage its study names, {note!r}, is none of ours")
    if given == "":
        return False
    if given is None or uri != (given if "://" in given else os.path.abspath(given)):
        found = f"states of interrupted trials may be in {uri} (to do without, --storage-path '')"
        raise Unnamed(run, [found], [("--storage-path", uri)])
    return True

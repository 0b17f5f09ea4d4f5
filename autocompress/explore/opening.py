"""Where a study is stored, and what is stored of it besides the trials."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.study import StudyDirection

from autocompress.compression.extension import extensions
from autocompress.errors import RunError
from autocompress.explore.database import Database, shown
from autocompress.explore.objectives import Objectives
from autocompress.explore.space import SearchSpace

FILE = "study.db"
FORMAT = 1
_KEY = "autocompress"
_PACKAGES = ("autocompress", "torch", "optuna", "numpy")


@dataclass(frozen=True)
class Setup:
    """What a study is about; written once, when it is created.

    Attributes:
        objectives: The objectives, resolved.
        space: The search space.
        reference: Metrics of the uncompressed model.
        sampler: Name of the sampler, ``"auto"`` included.
        seed: Seed of the sweep.
        trials: How many trials were planned at first.
        sweep: The sweep's own settings, as JSON data.
        versions: Versions of Python and the packages that matter.
    """

    objectives: Objectives
    space: SearchSpace
    reference: Mapping[str, float]
    sampler: str = "auto"
    seed: int = 0
    trials: int = 100
    sweep: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: versions())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "objectives": self.objectives.to_dict(),
            "space": self.space.to_dict(),
            "reference": dict(self.reference),
            "sampler": self.sampler,
            "seed": self.seed,
            "trials": self.trials,
            "sweep": dict(self.sweep),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str) -> Self:
        """Read the JSON form back.

        Raises:
            RunError: written by a newer version.
        """
        if data.get("format", 0) > FORMAT:
            raise RunError(
                f"{where} was written by a newer autocompress "
                f"({data.get('versions', {}).get('autocompress', 'unknown')}): update this one"
            )
        values = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        values["objectives"] = Objectives.from_dict(data["objectives"], where=where)
        with extensions.reading():  # a database is no reason to import anybody's code
            values["space"] = SearchSpace.from_dict(data["space"], source=f"{where}: space")
        return cls(**values)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages results may depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def quiet() -> None:
    """Keep Optuna from writing a line to the terminal for every trial."""
    level = max(optuna.logging.get_verbosity(), optuna.logging.WARNING)
    optuna.logging.set_verbosity(level)


def locate(path: str | Path, storage: str | None) -> tuple[Path, str]:
    """Return the run's folder and the storage URL; by default a SQLite file in the folder."""
    folder = Path(path)
    if folder.suffix == ".db":
        folder, file = folder.parent, folder
    else:
        file = folder / FILE
    return folder, storage or f"sqlite:///{file.resolve().as_posix()}"


def create(
    folder: Path,
    database: Database,
    setup: Setup,
    attrs: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> int:
    """Create the study in the database; return its id there.

    Args:
        folder: The run's folder.
        database: Where to.
        setup: What the study is about.
        attrs: Further attributes of the study.
        name: What the study is called there; by default as the folder.

    Raises:
        RunError: there is one already.
    """
    name = name or folder.resolve().name
    existing = optuna.get_all_study_names(database)
    alone = database.url == locate(folder, None)[1]
    if name in existing or (existing and alone):
        raise RunError(f"{folder} already holds a study: resume it, or choose another folder")
    with database.transaction(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        directions = [StudyDirection[word.upper()] for word in setup.objectives.directions]
        study = optuna.create_study(storage=database, study_name=name, directions=directions)
        # what dashboards show; values on a log scale are stored as logarithms
        items = setup.objectives.items
        study.set_metric_names(
            [f"log10 {x.metric}" if x.scale == "log" else x.metric for x in items]
        )
        for key, value in {_KEY: setup.to_dict(), **(attrs or {})}.items():
            study.set_user_attr(key, value)
    return database.get_study_id_from_name(name)


def load(folder: Path, database: Database, name: str | None = None) -> tuple[int, Setup]:
    """Return the id in the database of a run's study, and what it is about.

    Args:
        folder: The run's folder.
        database: Where the study is.
        name: What it is called there; by default as the folder, or the only one there is.

    Raises:
        RunError: there is none, or none of ours.
    """
    with database.reading():
        names = optuna.get_all_study_names(database)
    if name is None:
        wanted = folder.resolve().name
        name = wanted if wanted in names or len(names) != 1 else names[0]
    if name not in names:
        known = f"; there are {', '.join(names)}" if names else ""
        raise RunError(f"{shown(database.url)} holds no study {name!r}{known}")
    with database.reading():
        study_id = database.get_study_id_from_name(name)
        data = database.get_study_user_attrs(study_id).get(_KEY)
    if not isinstance(data, dict):
        raise RunError(f"the study in {shown(database.url)} was not made by autocompress")
    return study_id, Setup.from_dict(data, where=str(folder))

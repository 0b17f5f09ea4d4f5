"""`Sweep`: everything a search is told, one schema behind YAML, command line and Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from torch import nn

from autocompress import yamlio
from autocompress.analysis import parse_quantity
from autocompress.analysis.onesided import Goal
from autocompress.catalog import OBJECTIVES, find
from autocompress.compression.extension import extensions
from autocompress.data import Data
from autocompress.devices import check_device, find_device
from autocompress.errors import ConfigError
from autocompress.executors.ray.settings import RaySettings
from autocompress.explore.given import read_given
from autocompress.explore.halving import Halving
from autocompress.explore.objectives import Objectives
from autocompress.explore.space import SearchSpace
from autocompress.jsonform import override
from autocompress.metrics import LatencySettings, Metric
from autocompress.plan import Plan
from autocompress.recipe import Candidate
from autocompress.settings import Settings

RESULTS = ("resolved", "metrics")
"""Keys of a run's ``sweep.yaml`` that say what became of it, not what was asked for."""


TARGET_TRIALS = 10
"""Trials of a search for a target, unless said otherwise."""


def _default_jobs() -> int:
    return min(2, os.cpu_count() or 1)


class Sweep(Settings):
    """A search, before it begins.

    Attributes:
        model: A model's name (``autocompress list models``, ``torchvision:NAME`` or
            ``module:factory``, which runs your code), or a trained module.
        data: A data set's name (``autocompress list data``), or data of your own.
        data_root: Folder the data set's files are in.
        space: What is searched: a name (``autocompress list spaces``), the path of a YAML file, its
            content, or a search space.
        objectives: What is optimized: the same, see ``autocompress list objectives``.
        target: What a metric has to reach, such as ``"accuracy>=ref-0.5%"``: the search is then
            for the smallest model that does, see ``docs/search.md``; None for a whole front.
        minimize: With a target, the metric to make small; bytes unless said otherwise.
        trials: Trials in all, those told in advance (dense, uniform) included; 24, or 10 with a
            target. Those that fail do not count.
        jobs: Trials that run at a time, each in a process of its own; 0 runs them one by one in
            this process, to debug.
        seed: Seed of the search and its trials. Reference and data splits do not depend on it.
        out: Folder of the run; None for ``runs/DATA-TIME``.
        seeds: Plans of your own, tried before anything else: files of plans or candidates, their
            content, or (Python) :class:`~autocompress.plan.Plan` and
            :class:`~autocompress.recipe.Candidate`. Each must be one of the space's candidates.
        seeding: What is tried first, or after those: ``"sensitivity"`` for candidates along the
            frontier that sensitivities foretell, see :mod:`autocompress.sensitivity`;
            ``"uniform"`` for the same compression of all layers; ``"none"``; ``"auto"`` for the
            first where that is cheap.
        sampler: Who proposes candidates: ``"guided"`` by sizes, sensitivities and results;
            Optuna's samplers; ``"auto"`` by the space and the number of trials.
        continuation: Whether a trial starts from the end of a finished one whose plan is near, if
            there is one, rather than from the reference.
        repeats: Under how many seeds in all the trials on and near the front are run, in the end;
            0 and 1 leave them at the one that they have.
        halving: When a trial that falls behind others is stopped early, see
            :class:`~autocompress.explore.halving.Halving`; True for the defaults there, None or
            False for never.
        timeout: Seconds a trial may take; None for no limit. Needs jobs of at least 1.
        threads: CPU threads of each trial.
        executor: Where trials run: ``"local"`` in worker processes of this machine, ``"ray"`` on a
            Ray cluster. A run may go on under another.
        ray: The cluster, and what each trial is given there, see
            :class:`~autocompress.executors.ray.settings.RaySettings`.
        storage: SQLAlchemy URL of the database that the study is in, such as
            ``postgresql://USER@HOST/DATABASE``; None for a SQLite file in the run's folder. Its
            password is never written down.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA if there is one.
        limits: Hard limits by metric, such as ``{bytes: 20KB, accuracy: 95%}``: at most this for
            what is minimized, at least for what is maximized. Limits on what is known before any
            training (bytes, FLOPs) save the training.
        latency: How latency is measured.
        metrics: Metrics of your own (Python only), which objectives and limits may then name.
    """

    model: str | nn.Module = "digits-cnn"
    data: str | Data = "digits"
    data_root: str | None = None
    space: str | Path | dict[str, Any] | SearchSpace = "mixed"
    objectives: str | Path | dict[str, Any] | Objectives = "accuracy-size"
    target: str | None = None
    minimize: str | None = None
    trials: PositiveInt = 24
    jobs: NonNegativeInt = Field(default_factory=_default_jobs)
    seed: NonNegativeInt = 0
    out: Path | None = None
    seeds: tuple[str | Path | dict[str, Any], ...] = ()
    seeding: Literal["auto", "sensitivity", "uniform", "none"] = "auto"
    sampler: Literal["auto", "guided", "tpe", "nsga2", "nsga3", "gp", "random", "qmc"] = "auto"
    continuation: bool = False
    repeats: NonNegativeInt = 0
    halving: Halving | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    threads: PositiveInt = 1
    executor: Literal["local", "ray"] = "local"
    ray: RaySettings = RaySettings()
    storage: str | None = Field(default=None, repr=False)
    device: str = "auto"
    limits: dict[str, float] = Field(default_factory=dict)
    latency: LatencySettings = LatencySettings()
    metrics: tuple[Metric, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_sided(cls, values: Any) -> Any:
        """Fill in what follows from a target; refuse what makes no sense without one."""
        if not isinstance(values, Mapping):
            return values
        if values.get("target") is None:
            if values.get("minimize") is not None:
                raise ConfigError(
                    f"minimize = {values['minimize']!r}: say what must be reached all the "
                    f"same, as in target = 'accuracy>=ref-0.5%'"
                )
            return values
        goal = Goal.parse(values["target"], values.get("minimize"))
        return {"trials": TARGET_TRIALS, **values, "minimize": goal.minimize}

    @field_validator("data_root", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("halving", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return (Halving() if value else None) if isinstance(value, bool) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _plans(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [x.to_dict() if isinstance(x, (Plan, Candidate)) else x for x in value]

    @field_validator("limits", mode="before")
    @classmethod
    def _quantities(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: parse_quantity(v, where=f"Sweep.limits.{k}") for k, v in value.items()}

    @model_validator(mode="after")
    def _url(self) -> Self:  # not of the field: its errors would show a password
        if self.storage is not None:
            from autocompress.explore.database import check_url  # Optuna is slow to import

            check_url(self.storage)
        return self

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        check_device(value)
        return value

    @model_validator(mode="after")
    def _gpus_of_ray(self) -> Self:
        asked = self.device.startswith("cuda")
        if self.executor == "ray" and asked and self.ray.gpus_per_trial == 0:
            raise ConfigError(
                f"device = {self.device!r}: on Ray a trial has no GPU unless ray.gpus_per_trial "
                f"(--gpus-per-trial) says so, such as 0.25 for four trials on each"
            )
        return self

    @classmethod
    def from_file(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a sweep from a YAML file; the ``sweep.yaml`` of a run is one, too.

        Args:
            path: The file; its keys are this class's fields.
            overrides: Values by dotted key (``"limits.bytes"``) that replace the file's.

        Raises:
            ConfigError: naming file, key and what is accepted.
        """
        return cls.from_dict(yamlio.load(path), overrides, where=str(path))

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        where: str = "",
    ) -> Self:
        """Build a sweep from its JSON form; see :meth:`from_file`."""
        values = {k: v for k, v in values.items() if k not in RESULTS}
        try:
            return cls(**override(values, overrides or {}))
        except ConfigError as error:
            raise type(error)(f"{where}: {error}" if where else str(error)) from None

    def torch_device(self) -> torch.device:
        """Return the device that ``device`` means here."""
        return find_device(self.device)

    def load_space(self) -> SearchSpace:
        """Return the search space.

        Schemes of other packages that it names (``module:Class``) are imported.

        Raises:
            ConfigError, SchemeError: it does not exist or cannot be used.
        """
        if isinstance(self.space, SearchSpace):
            return self.space
        if isinstance(self.space, dict):
            extensions.allow_in(self.space, where="Sweep.space")
            return SearchSpace.from_dict(self.space)
        return SearchSpace.load(self.space)

    def load_objectives(self) -> Objectives:
        """Return the objectives, not resolved yet.

        Raises:
            ConfigError: they do not exist or cannot be used.
        """
        if isinstance(self.objectives, Objectives):
            return self.objectives
        if isinstance(self.objectives, dict):
            return Objectives.from_dict(self.objectives)
        path = find(OBJECTIVES, self.objectives)
        return Objectives.from_dict({"name": path.stem, **yamlio.load(path)}, where=str(path))

    def _shown_storage(self) -> str | None:
        if self.storage is None:
            return None
        from autocompress.explore.database import shown

        return shown(self.storage)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; space, objectives, seeds are written out, objects become null.

        The password of ``storage`` is left out.
        """
        objects = {"model", "data", "space", "objectives", "out", "latency", "metrics", "seeds"}
        result = self.model_dump(mode="json", exclude=objects | {"storage"})
        return {
            "model": self.model if isinstance(self.model, str) else None,
            "data": self.data if isinstance(self.data, str) else None,
            **result,
            "out": None if self.out is None else str(self.out),
            "storage": self._shown_storage(),
            "latency": self.latency.model_dump(mode="json"),
            "metrics": [metric.name for metric in self.metrics],
            "seeds": [read_given(item, "seeds")[0] for item in self.seeds],
            "space": self.load_space().to_dict(),
            "objectives": self.load_objectives().to_dict(),
        }

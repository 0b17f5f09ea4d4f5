"""What a sweep tells of its Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from autocompress.errors import ConfigError
from autocompress.settings import Settings

OPTIONS = ("address", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "storage_path")
"""Keys with an option of their own on the command line."""


class RaySettings(Settings):
    """Where trials run, and what each is given.

    Attributes:
        address: ``"auto"`` for the cluster that this machine is part of, or ``HOST:PORT`` of its
            head; None starts a Ray for this sweep alone, on this machine, bound to loopback.
        cpus_per_trial: CPUs that Ray reserves for a trial.
        gpus_per_trial: GPUs, or a fraction of one that trials then share.
        max_concurrent: Trials at a time; None for as many as the cluster's nodes now hold.
        storage_path: A folder or URI that all machines reach, where L-C states are kept after every
            step and trials' files pass; None where all nodes see the run's folder itself.
        latency_on: A custom resource; latency is measured only on nodes that have it, one trial per
            unit. None measures where the trial ran.
        small_data: Data up to so many bytes are sent to the nodes; larger data are loaded there.
        retries: How often a trial whose worker process died is handed to another. Trials of lost
            nodes always are.
    """

    address: str | None = None
    cpus_per_trial: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    gpus_per_trial: NonNegativeFloat = 0.0
    max_concurrent: PositiveInt | None = None
    storage_path: str | None = None
    latency_on: str | None = None
    small_data: NonNegativeInt = 256 * 2**20
    retries: NonNegativeInt = 1


def check_used(executor: str, asked: Iterable[str], *, fetches: bool = False) -> None:
    """Check that nobody asks for something of a cluster that the sweep does not use.

    Args:
        executor: Where the sweep's trials run.
        asked: Keys of :class:`RaySettings` that were given for this very session; those in a
            sweep's file may stay there.
        fetches: Whether a run is resumed, whose states are fetched from its storage in any case.

    Raises:
        ConfigError: there are some, and no cluster.
    """
    keys = [key for key in asked if not (fetches and key == "storage_path")]
    found = [f"--{key.replace('_', '-')}" if key in OPTIONS else f"ray.{key}" for key in keys]
    if found and executor != "ray":
        raise ConfigError(
            f"{', '.join(found)}: for trials on Ray only, and these run with executor = "
            f"{executor!r}: add --executor ray (executor: ray)"
        )

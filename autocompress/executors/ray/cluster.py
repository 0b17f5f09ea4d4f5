"""Reaching a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from autocompress.errors import ConfigError, ExecutorError, MissingExtra
from autocompress.executors.ray.head import Head
from autocompress.executors.ray.settings import RaySettings

_PATIENCE = 5.0
"""Seconds to wait for the head to accept a connection."""
_KIND, _SETTINGS = 3, 4
"""Where a frame of HTTP/2 says what it is, and what one of settings says."""
_STARTS = 3
"""How often a Ray of this machine's own is started before it counts as impossible."""
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch that, off, has its services use the loopback address, as on other systems."""
_TOKEN = (
    "; a cluster with token authentication (its 'ray start' says so) wants RAY_AUTH_MODE=token in "
    "the environment here, too"
)
_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # as local worker processes; Ray's own is 15
}
"""What Ray is told where the environment does not."""


def load_ray(*, loopback: bool = False) -> Any:
    """Import and return the package.

    Args:
        loopback: Whether a Ray that is started later shall be reachable from this machine only.

    Raises:
        MissingExtra: it is not installed.
    """
    if loopback and "ray" not in sys.modules:
        os.environ.setdefault(_LOOPBACK, "0")
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.tune  # has requirements of its own
    except ImportError:
        raise MissingExtra("ray[tune]", "ray") from None
    return ray


class Cluster:
    """The connection of this process to a cluster.

    A connection that is there already, made by ``ray.init`` in the user's script, is used as it is
    and left open.

    Args:
        settings: Where it is and what trials need.
        cpus: CPUs of a Ray that is started here; None for all.

    Attributes:
        head: ``HOST:PORT`` of its head.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: a trial needs more than any node has.
        ExecutorError: the cluster cannot be reached, or Ray cannot be started.
    """

    def __init__(self, settings: RaySettings, *, cpus: int | None = None) -> None:
        self.ray = load_ray(loopback=settings.address is None)
        self._ours = not self.ray.is_initialized()
        if self._ours:
            self._connect(settings.address, cpus)
        self.head: str = self.ray.get_runtime_context().gcs_address
        self._head = Head(self.head)
        try:
            check_fit(settings, self.nodes())
        except ConfigError:
            self.close()
            raise

    def _connect(self, address: str | None, cpus: int | None) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            # "local": one of its own, also where this machine is part of a cluster
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        else:
            options["address"] = reach(address)
        try:
            self._init(options, tries=_STARTS if address is None else 1)
        except Exception as error:  # whatever Ray's start-up raises
            text = str(error).strip().splitlines()[0] if str(error).strip() else ""
            what = "Ray cannot be started here" if address is None else f"Ray at {address}"
            hint = _TOKEN if address is not None and "RAY_AUTH_MODE" not in os.environ else ""
            raise ExecutorError(f"{what}: {type(error).__name__}: {text}{hint}") from error

    def _init(self, options: dict[str, Any], tries: int) -> None:
        """Start or join; Ray gives a start half a minute, which a busy machine may not keep to."""
        try:
            with _sigterm_kept():
                self.ray.init(**options)
        except Exception as error:
            self.ray.shutdown()
            if tries <= 1 or "timed out" not in str(error):
                raise
            self._init(options, tries - 1)

    @property
    def there(self) -> bool:
        """Whether the head was there when it was last looked for."""
        return not self._head.lost

    def check(self, *, now: bool = False) -> None:
        """Look for the head, from time to time or now.

        Raises:
            ExecutorError: it is gone.
        """
        self._head.check(now=now)

    def nodes(self) -> list[dict[str, float]]:
        """Return the resources of each node that is there."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def alive(self, node: str) -> bool:
        """Whether a node is there."""
        return any(n["NodeID"] == node and n["Alive"] for n in self.ray.nodes())

    def places(self, settings: RaySettings) -> int:
        """Return how many trials the nodes hold at a time, at least 1."""
        return max(1, sum(_holds(settings, node) for node in self.nodes()))

    def close(self) -> None:
        """Leave the cluster, or stop the one that was started for us."""
        self._head.close()
        if self._ours:
            self._ours = False
            with contextlib.suppress(Exception):  # a cluster that is gone already
                self.ray.shutdown()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep a handler of SIGTERM, if there is one; Ray puts its own in its place."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def reach(address: str) -> str:
    """Return the ``HOST:PORT`` of a cluster's head that accepts connections.

    Ray itself tries for minutes before it gives up, and then ends the process.

    Raises:
        ConfigError: it is no address.
        ExecutorError: nobody answers there.
    """
    found = os.environ.get("RAY_ADDRESS") or _this_cluster() if address == "auto" else address
    if not found:
        raise ExecutorError(
            "address = 'auto': this machine is part of no running Ray cluster: start one with "
            "'ray start --head', or give the address of its head as HOST:PORT"
        )
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ConfigError(
            f"address = {found!r}: accepted are 'auto' and HOST:PORT of the head (Ray's client "
            f"addresses are not: run the sweep on a machine of the cluster)"
        )
    try:
        greeted = _greeted(host.strip("[]"), int(port))
    except (OSError, OverflowError) as error:
        raise ExecutorError(
            f"address = {found!r}: no Ray cluster answers there ({error}): check address and "
            f"firewall, or start the head with 'ray start --head --port={port}'"
        ) from None
    if not greeted:
        raise ExecutorError(
            f"address = {found!r}: what listens there is not the head of a Ray cluster: its port "
            f"is that of 'ray start --head' (6379), not of the dashboard or a client"
        )
    return found


def _greeted(host: str, port: int) -> bool:
    """Connect to an address; return whether it may be a head.

    That speaks gRPC, where the server begins with a frame of settings; under TLS it waits.
    """
    with socket.create_connection((host, port), timeout=_PATIENCE) as line:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return True
        line.settimeout(_PATIENCE)
        try:
            frame = line.recv(9)
        except OSError:
            return False
    return len(frame) > _KIND and frame[_KIND] == _SETTINGS


def _this_cluster() -> str | None:
    """Return the address of the cluster that this machine runs a node of, if it does."""
    from ray._private import services  # Ray has no public way to ask without connecting

    try:
        found = services.canonicalize_bootstrap_address("auto")
    except Exception:  # there is none, or Ray has moved this
        return None
    return None if found in (None, "auto") else str(found)


def check_fit(settings: RaySettings, nodes: list[dict[str, float]]) -> None:
    """Check that some node can hold a trial.

    Raises:
        ConfigError: none can.
    """
    for key, wanted, resource in (
        ("gpus_per_trial", settings.gpus_per_trial, "GPU"),
        ("cpus_per_trial", settings.cpus_per_trial, "CPU"),
    ):
        most = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise ConfigError(
                f"{key} = {wanted:g}: no node of the cluster has more than {most:g} {resource}s"
            )
    if not any(_holds(settings, node) for node in nodes):
        raise ConfigError(
            f"no node of the cluster has {settings.cpus_per_trial:g} CPUs and "
            f"{settings.gpus_per_trial:g} GPUs at once"
        )
    label = settings.latency_on
    if label is not None and not any(node.get(label, 0.0) >= 1 for node in nodes):
        raise ConfigError(
            f"latency_on = {label!r}: no node of the cluster has this resource: start one with "
            f"ray start --resources='{{\"{label}\": 1}}'"
        )


def _holds(settings: RaySettings, node: dict[str, float]) -> int:
    """Return how many trials a node holds; a GPU's fractions are never of two GPUs."""
    by_cpu = math.floor(node.get("CPU", 0.0) / settings.cpus_per_trial + 1e-9)
    wanted = settings.gpus_per_trial
    if wanted == 0:
        return by_cpu
    gpus = math.floor(node.get("GPU", 0.0))
    by_gpu = math.floor(gpus / wanted) if wanted >= 1 else gpus * math.floor(1 / wanted + 1e-9)
    return min(by_cpu, by_gpu)

"""What machine a measurement was made on."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

import torch


def fingerprint(device: torch.device | str = "cpu") -> dict[str, str]:
    """Describe the machine, as a measurement's conditions.

    Args:
        device: The device measured on; an accelerator is named too.

    Returns:
        ``cpu`` (model), ``cores`` (usable by this process), ``threads`` (of PyTorch, now),
        ``system``, ``python``, ``torch``, and for a GPU ``gpu``.
    """
    described = {
        "cpu": _cpu_model(),
        "cores": str(_usable_cores()),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    device = torch.device(device)
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    elif device.type != "cpu":
        described["gpu"] = device.type
    return described


@functools.cache  # a list of all cores, which can be many
def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():  # platform.processor() is empty or generic on Linux
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "hardware", "cpu model"):
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

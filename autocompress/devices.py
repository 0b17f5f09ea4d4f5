"""Names of devices: ``cpu``, ``cuda``, ``cuda:N`` and ``auto``."""

from __future__ import annotations

import torch


def check_device(name: str) -> None:
    """Raise ValueError unless there is such a device here."""
    if name == "auto":
        return
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError("known are 'cpu', 'cuda', 'cuda:N' and 'auto'") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("this machine (or this torch) has no CUDA device")


def find_device(name: str) -> torch.device:
    """Return the device that a name means here; ``auto`` is CUDA if there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

"""Where benchmark results go: JSON with date, seed, versions and hardware."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

import numpy
import torch

FOLDER = Path(__file__).parent / "results"


def processor() -> str:
    """Name of the processor, as precise as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def save(name: str, rows: list[dict[str, object]], *, seed: int, device: str = "cpu") -> Path:
    """Write one benchmark's rows to ``results/NAME.json`` (``NAME-DEVICE.json`` off the CPU)."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    result = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "seed": seed,
        "hardware": {"processor": processor(), "threads": torch.get_num_threads(), "gpu": gpu},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "rows": rows,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / (f"{name}.json" if device == "cpu" else f"{name}-{device}.json")
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path

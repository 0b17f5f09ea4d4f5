"""Warm starts on disk: what the checkpoint of a finished run knows of w and the multipliers."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from autocompress.errors import PackedFileError
from autocompress.lc.warm import Warm
from autocompress.storage.atomic import write_bytes

VERSION = 1
_KEY = "autocompress.warm"
_GROUPS = ("weights", "multipliers")


def keep(checkpoint: Path, path: Path) -> None:
    """Write the warm start that a run's last checkpoint makes.

    It is as large as the weights, and their multipliers where there are any, in full precision.

    Args:
        checkpoint: A file of :func:`autocompress.storage.checkpoint.save`.
        path: Where to.

    Raises:
        PackedFileError: the checkpoint cannot be read.
        OSError: the file cannot be written.
    """
    try:
        with safetensors.safe_open(checkpoint, framework="pt") as file:
            header = json.loads((file.metadata() or {})["autocompress.checkpoint"])
            names = [n for n in file.keys() if n.partition("/")[0] in _GROUPS]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
        mu = float(header["history"][-1]["mu"])
    except (safetensors.SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise PackedFileError(f"{checkpoint}: not a readable L-C checkpoint: {error}") from error
    metadata = {_KEY: json.dumps({"version": VERSION, "mu": mu})}
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def load(path: Path, model: nn.Module) -> Warm:
    """Read a warm start for a model; its tensors come on the devices of the model's own.

    Raises:
        PackedFileError: the file is missing, damaged, from a newer version or of another model.
    """
    if not path.is_file():
        raise PackedFileError(f"{path}: there is no such file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["version"] > VERSION:
            raise PackedFileError(f"{path}: written by a newer version of autocompress")
        mu = float(header["mu"])
    except PackedFileError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise PackedFileError(f"{path}: not a readable warm start: {error}") from error
    state = model.state_dict()
    found = {group: _group(tensors, group, state) for group in _GROUPS}
    warm = Warm(found["weights"], found["multipliers"], mu)
    if problem := warm.misfit(state):
        raise PackedFileError(f"{path}: does not fit the model: {problem}")
    return warm


def _group(tensors: dict[str, Tensor], group: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{group}/"
    names = {n.removeprefix(prefix): n for n in tensors if n.startswith(prefix)}
    return {
        name: tensors[key].to(state[name].device) if name in state else tensors[key]
        for name, key in names.items()
    }

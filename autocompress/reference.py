"""The reference of a run: the trained model that is compressed, kept in the run's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
from torch import nn

from autocompress import models
from autocompress.data import Data
from autocompress.digests import raw
from autocompress.errors import RunError
from autocompress.observer import Observer
from autocompress.storage import atomic


def reference_of(
    named: str | nn.Module, model: nn.Module, data: Data, path: Path, observer: Observer
) -> nn.Module:
    """Return the reference: with the weights that the run keeps, or trained and kept from now on.

    Args:
        named: The sweep's model: a name to train one by, or a trained one.
        model: The same, with whatever weights; changed where the run keeps others.
        data: The data.
        path: The run's file.
        observer: Told of the training.

    Raises:
        RunError: the run's file is not of this model.
    """
    if path.is_file():
        _restore(model, path)
        return model
    if isinstance(named, str):
        observer.phase(f"training the reference {named} (or taking it from the cache)")
        model = models.load(named, data, progress=observer.training)
    state = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    atomic.write_bytes(path, safetensors.torch.save(state))
    return model


def digest_of_model(model: nn.Module) -> str:
    """Return 16 hex digits of a model's structure and weights."""
    sha = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(raw(value))
    return sha.hexdigest()[:16]


def _restore(model: nn.Module, path: Path) -> None:
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        text = str(error).splitlines()[0]
        raise RunError(f"{path}: the run's reference model cannot be loaded: {text}") from error

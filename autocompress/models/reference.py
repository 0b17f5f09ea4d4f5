"""Trained reference models, from a cache of safetensors files where possible."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from autocompress.data import Data
from autocompress.data.roots import cache_folder
from autocompress.errors import AutocompressWarning
from autocompress.models.identity import update
from autocompress.models.training import Outcome, Progress, Training, train
from autocompress.models.zoo import build, training_of

_FORMAT = "autocompress-reference/1"  # counts in the key: change it to retrain everything


def load(
    name: str,
    data: Data,
    *,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    pretrained: bool = True,
    training: Training | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Return a trained reference model, from the cache or trained now.

    Trained on ``data.train`` at the epoch best on ``data.val``; ``data.test`` is not read. The
    cache knows it by model, initial weights, data digest, training settings and seed, so a change
    to any of them trains again. Torch's global generators are left alone.

    A model of your own (``module:factory``) starts from the weights it comes with, which it keeps
    unless an epoch is better; one with an attribute ``trained = True`` is taken as it is.

    Args:
        name: See :func:`autocompress.models.build`.
        data: What to train on; decides shapes and device.
        seed: Decides initial weights and the order of the examples.
        cache: Folder of trained references; None for ``$AUTOCOMPRESS_CACHE/references``, or else
            ``references`` in the user's cache folder for autocompress.
        pretrained: False returns it untrained (same as ``build``).
        training: Settings; None for the model's own.
        progress: Called after each epoch as ``progress(epoch, epochs, val_accuracy)``; not called
            when the model comes from the cache.

    Returns:
        The model in evaluation mode, on the device of ``data``.

    Raises:
        UnknownName: No model of this name.
        ModelError: It cannot be built, does not take such inputs, or its training diverged.
    """
    model = build(name, data, seed=seed)
    if not pretrained or getattr(model, "trained", False) is True:
        return model
    training = training or training_of(name)
    key = _key(name, model, data, training, seed)
    folder = cache_folder("references") if cache is None else Path(cache)
    path = folder / f"{''.join(c if c.isalnum() else '-' for c in name)}-{key}.safetensors"
    state = _read(path, model, key)
    if state is not None:
        model.load_state_dict(state)
        return model
    outcome = train(model, data, training, seed=seed, progress=progress)
    _write(path, model, key, name, training, outcome)
    return model


def _key(name: str, model: nn.Module, data: Data, training: Training, seed: int) -> str:
    """16 hexadecimal digits over everything the trained weights depend on."""
    sha = hashlib.sha256()
    settings = training.model_dump()
    sha.update(json.dumps([_FORMAT, name, repr(model), data.digest, settings, seed]).encode())
    update(sha, model)
    return sha.hexdigest()[:16]


def _read(path: Path, model: nn.Module, key: str) -> dict[str, Tensor] | None:
    """Return the cached state, or None (with a note if there is a file but a bad one)."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("key") != key:
                raise ValueError("it belongs to another model")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = {name: (v.shape, v.dtype) for name, v in model.state_dict().items()}
        if {name: (v.shape, v.dtype) for name, v in state.items()} != expected:
            raise ValueError("its tensors are not the model's")
    except (SafetensorError, OSError, ValueError) as error:
        warnings.warn(
            f"the cached reference {path} cannot be used ({error}): training it again",
            AutocompressWarning,
            stacklevel=3,
        )
        return None
    return state


def _write(
    path: Path, model: nn.Module, key: str, name: str, training: Training, outcome: Outcome
) -> None:
    """Write the state under a temporary name, then move it into place in one step."""
    metadata = {
        "format": _FORMAT,
        "key": key,
        "model": name,
        "training": training.model_dump_json(),
        "epoch": str(outcome.epoch),
        "val_accuracy": repr(outcome.accuracy),
        "val_loss": repr(outcome.loss),
    }
    # copies: safetensors refuses tensors that share memory (tied weights)
    state = {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, text = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        temporary = Path(text)
        save_file(state, temporary, metadata)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        warnings.warn(
            f"the trained reference could not be kept in {path.parent} ({error}): "
            "it will be trained again next time",
            AutocompressWarning,
            stacklevel=3,
        )

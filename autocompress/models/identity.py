"""What makes two models the same: structure, own source text, and every weight."""

from __future__ import annotations

import contextlib
import hashlib
import inspect

from torch import nn

from autocompress.digests import raw

_PACKAGES = ("torch", "torchvision", "autocompress")  # whose module classes the name identifies


def model_digest(model: nn.Module) -> str:
    """Return 16 hex digits over all that a model computes with: see :func:`update`."""
    sha = hashlib.sha256(repr(model).encode())
    update(sha, model)
    return sha.hexdigest()[:16]


def update(sha: hashlib._Hash, model: nn.Module) -> None:
    """Feed a hash with a model's own source text and its state: names, dtypes, shapes, bytes."""
    for source in _sources(model):
        sha.update(source.encode())
    for key, value in model.state_dict().items():
        sha.update(f"{key}{value.dtype}{tuple(value.shape)}".encode())
        sha.update(raw(value))


def _sources(model: nn.Module) -> list[str]:
    """Source text of the user's own module classes: their ``forward`` decides what is computed."""
    classes = {type(module) for module in model.modules()}
    own = [c for c in classes if c.__module__.split(".")[0] not in _PACKAGES]
    texts = []
    for cls in sorted(own, key=lambda c: c.__qualname__):
        with contextlib.suppress(OSError, TypeError):  # typed in, or made at run time
            texts.append(inspect.getsource(cls))
    return texts

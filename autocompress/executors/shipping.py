"""A trial's context as bytes, to be sent to another process; never written to disk."""

from __future__ import annotations

import copy
import dataclasses
import os
import sys
from typing import Any, cast

import cloudpickle

from autocompress.compression import registry
from autocompress.compression.extension import extensions
from autocompress.data import Data, DataSpec, TensorSplit, load_spec
from autocompress.errors import DataError, ExecutorError
from autocompress.explore.trial import RunJob, TrialContext, run_job

_REGISTRIES: dict[str, dict[str, Any]] = {
    "schemes": registry.SCHEMES,
    "codes": registry.CODES,
}
"""What a script may have added to before its sweep, and workers must know too."""


def pack(context: TrialContext, run: RunJob = run_job, *, small: int = 0) -> bytes:
    """Return the context, and what is to be done with jobs, as bytes.

    Data with a spec travel as that spec and are loaded again; any other data, and the model, are
    sent by value, with the classes they need when those live in the user's script.

    Args:
        context: What trials share.
        run: What is to be done with jobs.
        small: Data in memory of at most so many bytes are sent by value even with a spec.

    Raises:
        ExecutorError: the model or the data cannot be sent to another process.
    """
    data = context.data
    device = str(data.device)
    again = data.spec is not None and not _in_memory(data, small)
    sent = {
        "context": dataclasses.replace(
            context,
            model=_on_cpu(context.model),
            data=cast(Any, None) if again else data.to("cpu"),
        ),
        "spec": data.spec.to_dict() if again and data.spec else None,
        "digest": data.digest,
        "device": device,
        "run": run,
        "registries": {name: dict(entries) for name, entries in _REGISTRIES.items()},
    }
    try:
        return bytes(cloudpickle.dumps(sent))
    except Exception as error:  # whatever a user's class raises when pickled
        raise ExecutorError(
            f"the model or the data cannot be sent to worker processes "
            f"({type(error).__name__}: {error}): make them of picklable parts, or run the trials "
            f"in this process with jobs=0"
        ) from error


def unpack(payload: bytes, device: str | None = None) -> tuple[TrialContext, RunJob]:
    """Inverse of :func:`pack`; only ever called on bytes that came from the driver's process.

    Args:
        payload: The bytes.
        device: Where model and data go; None for where they came from.

    Raises:
        DataError: data that were to be loaded again are missing here, or others.
    """
    here = os.getcwd()
    if here not in sys.path:  # where the parent finds the user's own modules, too
        sys.path.append(here)
    sent = cloudpickle.loads(payload)
    for name, entries in sent["registries"].items():
        for key, entry in entries.items():
            _REGISTRIES[name].setdefault(key, entry)
    context: TrialContext = sent["context"]
    for extension in context.schemes:
        extensions.register(extension)
    device = sent["device"] if device is None else device
    if sent["spec"] is not None:
        spec = DataSpec.from_dict(sent["spec"])
        data = load_spec(spec, device)
        if data.digest != sent["digest"]:
            raise DataError(
                f"the data {spec.name} in {spec.root or 'its default folder'} are not those of "
                f"the sweep: digest {data.digest} instead of {sent['digest']}"
            )
    else:
        data = context.data.to(device)
    model = context.model.to(device)
    return dataclasses.replace(context, model=model, data=data), sent["run"]


def _on_cpu(model: Any) -> Any:
    if all(not p.is_cuda for p in model.parameters()):
        return model
    return copy.deepcopy(model).cpu()


def _in_memory(data: Data, most: int) -> bool:
    """Whether data are tensors of at most so many bytes in all."""
    size = 0
    for split in (data.train, data.val, data.test):
        if not isinstance(split, TensorSplit):
            return False
        size += sum(part.numel() * part.element_size() for part in (split.x, split.y))
    return size <= most

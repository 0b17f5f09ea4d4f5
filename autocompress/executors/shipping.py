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
from autocompress.data import DataSpec, load_spec
from autocompress.errors import ExecutorError
from autocompress.explore.trial import RunJob, TrialContext, run_job

_REGISTRIES: dict[str, dict[str, Any]] = {
    "schemes": registry.SCHEMES,
    "codes": registry.CODES,
}
"""What a script may have added to before its sweep, and workers must know too."""


def pack(context: TrialContext, run: RunJob = run_job) -> bytes:
    """Return the context, and what is to be done with jobs, as bytes.

    Data with a spec travel as that spec and are loaded again; any other data, and the model, are
    sent by value, with the classes they need when those live in the user's script.

    Raises:
        ExecutorError: the model or the data cannot be sent to another process.
    """
    data = context.data
    device = str(data.device)
    sent = {
        "context": dataclasses.replace(
            context,
            model=_on_cpu(context.model),
            data=cast(Any, None) if data.spec else data.to("cpu"),
        ),
        "spec": data.spec.to_dict() if data.spec else None,
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


def unpack(payload: bytes) -> tuple[TrialContext, RunJob]:
    """Inverse of :func:`pack`; only ever called on bytes that came from the parent process."""
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
    if sent["spec"] is not None:
        data = load_spec(DataSpec.from_dict(sent["spec"]), sent["device"])
    else:
        data = context.data.to(sent["device"])
    model = context.model.to(sent["device"])
    return dataclasses.replace(context, model=model, data=data), sent["run"]


def _on_cpu(model: Any) -> Any:
    if all(not p.is_cuda for p in model.parameters()):
        return model
    return copy.deepcopy(model).cpu()

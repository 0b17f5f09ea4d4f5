"""A trial's context as bytes, to be sent to another process; never written to disk."""

from __future__ import annotations

import dataclasses
from typing import Any

import cloudpickle

from autocompress.compression import registry
from autocompress.errors import ExecutorError
from autocompress.metrics import METRICS
from autocompress.search.trial import TrialContext

_REGISTRIES: dict[str, dict[str, Any]] = {
    "schemes": registry.SCHEMES,
    "codes": registry.CODES,
    "metrics": METRICS,
}
"""What a script may have added to before its sweep, and workers must know too."""


def pack(context: TrialContext) -> bytes:
    """Return the context as bytes.

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
            data=None if data.spec else data.to("cpu"),
        ),
        "spec": data.spec.to_dict() if data.spec else None,
        "device": device,
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


def unpack(payload: bytes) -> TrialContext:
    """Inverse of :func:`pack`; only ever called on bytes that came from the parent process."""
    sent = cloudpickle.loads(payload)
    for name, entries in sent["registries"].items():
        for key, entry in entries.items():
            _REGISTRIES[name].setdefault(key, entry)
    context: TrialContext = sent["context"]
    if sent["spec"] is not None:
        from autocompress.data import DataSpec

        data = DataSpec.from_dict(sent["spec"]).load(sent["device"])
    else:
        data = context.data.to(sent["device"])
    return dataclasses.replace(context, model=context.model.to(sent["device"]), data=data)


def _on_cpu(model: Any) -> Any:
    if all(not p.is_cuda for p in model.parameters()):
        return model
    import copy

    return copy.deepcopy(model).cpu()

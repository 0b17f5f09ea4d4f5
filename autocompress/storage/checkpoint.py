"""L-C checkpoints: the loop's state in one safetensors file, written atomically."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from autocompress.errors import PackedFileError
from autocompress.lc import Best, State, StepRecord
from autocompress.recipe import MuSchedule
from autocompress.storage.atomic import write_bytes
from autocompress.storage.codec import decode, encode

VERSION = 1


def save(path: Path, state: State, identity: str) -> None:
    """Write a state; ``identity`` says which run it belongs to."""
    tensors: dict[str, Tensor] = {}
    codes, best = {}, {}
    for name, code in state.codes.items():
        codes[name] = _encode(code, f"codes/{name}", tensors)
    for name, code in state.best.codes.items():
        best[name] = _encode(code, f"best/{name}", tensors)
    groups = {
        "weights": state.weights,
        "multipliers": state.multipliers,
        "rest": state.best.rest,
        "learner": state.learner,
        "rng": state.rng,
    }
    for group, members in groups.items():
        tensors |= {f"{group}/{name}": value for name, value in members.items()}
    header = {
        "version": VERSION,
        "identity": identity,
        "mu": state.mu.model_dump(mode="json"),
        "codes": codes,
        "best": {"codes": best, "record": dataclasses.asdict(state.best.record)},
        "history": [dataclasses.asdict(record) for record in state.history],
    }
    # a tensor may appear twice (the best step is often the last): safetensors wants them apart,
    # and in row-major order (a model may be channels_last)
    owned = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    metadata = {"autocompress.checkpoint": json.dumps(header)}
    write_bytes(path, safetensors.torch.save(owned, metadata))


def load(path: Path, identity: str) -> State:
    """Read a state back.

    Raises:
        PackedFileError: the file is damaged, from a newer version, or of another run.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["autocompress.checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["version"] > VERSION:
            raise PackedFileError(f"{path}: written by a newer version of autocompress")
        if header["identity"] != identity:
            raise PackedFileError(
                f"{path}: this checkpoint belongs to another plan, recipe, data or seed; "
                f"delete it or choose another path"
            )
        return _state(header, tensors)
    except PackedFileError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise PackedFileError(f"{path}: not a readable L-C checkpoint: {error}") from error


def _state(header: dict[str, Any], tensors: dict[str, Tensor]) -> State:
    def group(name: str) -> dict[str, Tensor]:
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    best = header["best"]
    return State(
        mu=MuSchedule(**header["mu"]),
        weights=group("weights"),
        codes={name: decode(code, tensors) for name, code in header["codes"].items()},
        multipliers=group("multipliers"),
        best=Best(
            StepRecord(**best["record"]),
            {name: decode(code, tensors) for name, code in best["codes"].items()},
            group("rest"),
        ),
        history=tuple(StepRecord(**record) for record in header["history"]),
        learner=group("learner"),
        rng=group("rng"),
    )


def _encode(code: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    described, buffers = encode(code, prefix)
    tensors |= buffers
    return described

"""A compressed model: what `compress` returns and a packed file holds."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from autocompress import storage
from autocompress.compression import Code
from autocompress.compression.extension.extensions import SchemeLike
from autocompress.data import Split
from autocompress.errors import ModelError, PackedFileError
from autocompress.lc import Evaluation, StepRecord, evaluate
from autocompress.metrics.size import SizeReport, size_report
from autocompress.plan import Plan
from autocompress.realize import realize
from autocompress.recipe import Recipe, recipe_from_dict
from autocompress.storage import PackedModel

_MOST_ELEMENTS = 16
"""Most numbers that a file may announce for each of the model's."""
_ENOUGH = 2**22
"""A file may announce as many whatever the model: that is 16 MiB, and says better what is wrong."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model with its codes and the history of how it came to be.

    Attributes:
        model: The original architecture with decoded weights, in evaluation mode.
        codes: The codes, by task name.
        plan: The plan, with exact parameter names.
        recipe: The recipe that produced it.
        history: One record per L-C step, direct compression first; ``pandas.DataFrame(history)``.
        status: ``"converged"``, ``"finished"``, ``"diverged"`` or ``"stopped"``.
        best_step: The step that was chosen on validation data.
        example: A batch of one input, to trace the model with; None if unknown.
    """

    model: nn.Module
    codes: dict[str, Code]
    plan: Plan
    recipe: Recipe
    history: list[StepRecord]
    status: str
    best_step: int
    example: Tensor | None = None

    def __repr__(self) -> str:
        tasks = ", ".join(task.name for task in self.plan.tasks) or "nothing"
        parts = [f"{type(self.model).__name__}: {tasks}", f"{self.status}, step {self.best_step}"]
        if self.best_step < len(self.history):
            accuracy = self.history[self.best_step].val_accuracy
            parts.append(f"val accuracy {100 * accuracy:.2f} %")
        return f"Compressed({', '.join(parts)})"

    @cached_property
    def packed(self) -> PackedModel:
        """Everything the packed file holds."""
        compressed = {name for task in self.plan.tasks for name in task.params}
        rest = {n: v for n, v in self.model.state_dict().items() if n not in compressed}
        info = {
            "recipe": self.recipe.model_dump(mode="json"),
            "status": self.status,
            "step": self.best_step,
        }
        return PackedModel(plan=self.plan.stored(), codes=self.codes, rest=rest, info=info)

    @cached_property
    def size(self) -> SizeReport:
        """Bytes of the packed file, the ratio to the reference, and three other definitions."""
        return self.size_report()

    def size_report(self, *, entropy: bool = False) -> SizeReport:
        """Return the sizes with the file entropy-coded or not; see :attr:`size`.

        Raises:
            MissingExtra: ``entropy`` without the library for it (``autocompress[entropy]``).
        """
        return size_report(self.packed, reference_bytes(self.model), entropy=entropy)

    def evaluate(self, split: Split, batch_size: int = 1024) -> Evaluation:
        """Return loss, accuracy and number of samples on one split of the data."""
        return evaluate(self.model, split, batch_size)

    def realize(self, example: Tensor | None = None) -> nn.Module:
        """Return a module that computes the same and is really smaller or faster.

        Low-rank layers become two layers, pruned neurons and filters are gone.

        Args:
            example: A batch of one input, ``(1, ...)``; only needed after :func:`load`.

        Raises:
            ModelError: there is no example input to trace the model with.
        """
        if example is None and self.example is None:
            raise ModelError("realize() needs an example input: a batch of one, on the device")
        if example is not None:
            return realize(self.model, self.plan, self.codes, example)
        return self._realized

    @cached_property
    def _realized(self) -> nn.Module:
        assert self.example is not None
        return realize(self.model, self.plan, self.codes, self.example)

    def save(self, path: str | PathLike[str], *, entropy: bool = False) -> int:
        """Write the packed file and return its size in bytes.

        Args:
            path: The file.
            entropy: Whether to entropy-code it: just as exact and smaller by a tenth to a half;
                whoever reads it needs ``autocompress[entropy]`` too.

        Raises:
            MissingExtra: ``entropy`` without the library for it.
        """
        return storage.write(path, self.packed, entropy=entropy)


def load(
    path: str | PathLike[str],
    model: nn.Module,
    *,
    codes: Iterable[type[Code]] = (),
    schemes: Iterable[SchemeLike] = (),
) -> Compressed:
    """Read a packed file back; executes nothing that the file names.

    Args:
        path: A file written by :meth:`Compressed.save`.
        model: A module of the same architecture; left untouched, its weights do not matter.
        codes: Code classes of extensions that the file may use.
        schemes: Schemes of extensions that the file may name. Without its class an extension's
            scheme stays a placeholder in ``plan``; the weights are the same.

    Raises:
        PackedFileError: the file is missing, damaged, not ours, or of another architecture.
    """
    # codes announce little more than the model has: factors, two terms of a sum, their parts
    most = max(_ENOUGH, _MOST_ELEMENTS * sum(p.numel() for p in model.state_dict().values()))
    packed = storage.read(path, codes=codes, schemes=schemes, max_elements=most)
    decoded = decode(packed.plan, packed.codes)
    result = assemble(model, decoded, packed.rest, source=str(path))
    return Compressed(
        model=result,
        codes=packed.codes,
        plan=packed.plan,
        recipe=recipe_from_dict(packed.info["recipe"], where=f"{path}: recipe"),
        history=[],
        status=str(packed.info["status"]),
        best_step=int(packed.info["step"]),
    )


def decode(plan: Plan, codes: Mapping[str, Code]) -> dict[str, Tensor]:
    """Return the decoded weights by parameter name."""
    return {
        name: value
        for task in plan.tasks
        for name, value in zip(task.params, codes[task.name].decode(), strict=True)
    }


def assemble(
    model: nn.Module, decoded: Mapping[str, Tensor], rest: Mapping[str, Tensor], *, source: str
) -> nn.Module:
    """Return a copy of ``model`` in evaluation mode, holding decoded and uncompressed parameters.

    Raises:
        PackedFileError: names or shapes differ from the model's; ``source`` is named.
    """
    result = copy.deepcopy(model)
    state: dict[str, Any] = {**rest, **decoded}
    own = result.state_dict()
    for name in own.keys() | state.keys():
        if name not in own or name not in state:
            where = "the file" if name in state else "the model"
            raise PackedFileError(f"{source}: only {where} has the parameter {name!r}")
        if own[name].shape != state[name].shape:
            have, want = tuple(state[name].shape), tuple(own[name].shape)
            raise PackedFileError(f"{source}: {name!r} is {have}, the model's is {want}")
    with torch.no_grad():
        result.load_state_dict(state)
    return result.eval()


def reference_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers of a model as they are in memory."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())

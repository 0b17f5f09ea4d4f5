"""Metrics of a plan before anything is compressed: from shapes alone, without a weight."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from autocompress.compressed import reference_bytes
from autocompress.compression import Additive, Compression, L0Penalty, L1Ball, L1Penalty
from autocompress.compression.base import Facts, Shapes, total_numel
from autocompress.compression.estimate import Estimate, Known, added, matrix_numbers
from autocompress.compression.extension.function import FunctionScheme
from autocompress.data import Data
from autocompress.explore.computation import Computation, leading
from autocompress.facts import find_facts, joint_params
from autocompress.plan import Plan, Task, replace_params
from autocompress.recipe import LC, Recipe
from autocompress.storage import container
from autocompress.storage.buffers import dtype_code

__all__ = ["FreeMetrics", "Known"]

_MOST = 1 << 14  # tasks remembered
_MARGIN = 8
"""Bytes that the text of a file may differ by: how a trial ended, and at which step."""
_DOUBT = 6
"""The same for each task of which some number is only expected."""
_NO_RECIPE = 176
"""The same where the recipe is not told: none at all, or numbers that hardly deflate."""
_ELEMENTWISE = (Additive, L1Ball, L0Penalty, L1Penalty, FunctionScheme)
"""Schemes that never change the layers there are, though their size may be unknown."""


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of one task.

    Attributes:
        task: The task, with exact parameter names, bound to the model.
        shapes: Shapes of its parameters.
        kind: Kind of its code, None where that is unknown.
        bytes: Bytes of its buffers.
        nonzeros: Weights that are not zero.
        texts: Its part of the plan and its code, as JSON; the second is empty if unknown.
    """

    task: Task
    shapes: Shapes
    kind: str | None
    bytes: Known | None
    nonzeros: Known | None
    texts: tuple[str, str]


class FreeMetrics:
    """Metrics of plans for one model, as far as shapes tell.

    A plan takes a fraction of a millisecond, less if its tasks occurred before.

    Args:
        model: The reference model; only names, shapes and what is zero in it matter.
        data: The data, or an example input batch.
    """

    def __init__(self, model: nn.Module, data: Data | Tensor) -> None:
        self._model = model
        self._example = data if isinstance(data, Tensor) else data.example(1)
        self._params = {n: tuple(p.shape) for n, p in model.named_parameters()}
        self._wide = {n for n, p in model.named_parameters() if p.dtype != torch.float32}
        self._rest = {n: _entry(n, t) for n, t in model.state_dict().items()}
        self._reference = reference_bytes(model)
        self._names: dict[tuple[tuple[str, ...], bool], tuple[str, ...]] = {}
        self._tasks: dict[Task, _Known] = {}
        self._recipe: tuple[Recipe | None, str] = (None, _info(LC()))

    def of(self, plan: Plan, recipe: Recipe | None = None) -> dict[str, Known]:
        """Return what is known of ``bytes``, ``ratio``, ``nonzeros``, ``flops`` and ``params``.

        Bounds hold whatever the weights, as long as those of a task are all different.

        Args:
            plan: A plan that fits the model, with exact names or patterns.
            recipe: The recipe that the packed file will name; bytes are vaguer without.

        Raises:
            PlanError: the plan does not fit the model.
        """
        tasks = [self._known(task) for task in plan.tasks]
        coded = {name for known in tasks for name in known.task.params}
        rest = [entry for name, entry in self._rest.items() if name not in coded]
        return {
            **self._sizes(tasks, rest, recipe),
            **_nonzeros(tasks, rest),
            **self._computation.of((known.task, known.shapes, known.kind) for known in tasks),
        }

    @cached_property
    def _computation(self) -> Computation:
        return Computation(self._model, self._example)

    def _known(self, task: Task) -> _Known:
        known = self._tasks.get(task)
        if known is None:
            if len(self._tasks) >= _MOST:
                self._tasks.clear()
            known = self._tasks[task] = self._find(task)
        return known

    def _find(self, task: Task) -> _Known:
        named = self._resolved(task)
        shapes = tuple(self._params[name] for name in named.params)
        scheme = self._bound(named)
        bound = Task(task.name, named.params, scheme, task.weighting)
        unknown = self._wide.intersection(named.params) or self._joins(named)
        estimate = None if unknown else scheme.estimate(shapes)
        text = _text(named.to_dict())
        if estimate is None:
            kind = "elementwise" if isinstance(leading(scheme), _ELEMENTWISE) else None
            return _Known(bound, shapes, kind, None, None, (text, ""))
        texts = (text, _text(estimate.node()))
        return _Known(
            bound, shapes, estimate.kind, estimate.bytes, _matrix_nonzeros(estimate, shapes), texts
        )

    def _resolved(self, task: Task) -> Task:
        """Return the task with exact parameter names."""
        key = task.params, task.compression.structured
        if key in self._names:
            return replace_params(task, self._names[key])
        resolved = Plan([task]).resolve(self._model).tasks[0]
        self._names[key] = resolved.params
        return resolved

    def _joins(self, task: Task) -> bool:
        """Whether batch norms may come along with a task, which depends on the plan's others."""
        needed = "norms" in task.compression.needs
        return needed and bool(joint_params(task.params, self._facts))

    def _bound(self, task: Task) -> Compression:
        if not task.compression.needs:
            return task.compression
        facts = [self._facts.get(name, Facts()) for name in task.params]
        return task.compression.bind(facts)

    @cached_property
    def _facts(self) -> dict[str, Facts]:
        return find_facts(self._model, self._example, {"spatial", "tie"})

    def _sizes(
        self, tasks: list[_Known], rest: list[_Entry], recipe: Recipe | None
    ) -> dict[str, Known]:
        if any(known.bytes is None for known in tasks):
            return {}
        parts = [known.bytes for known in tasks if known.bytes is not None]
        data = added([*parts, Known.exactly(sum(entry.bytes for entry in rest))])
        plans = ",".join(known.texts[0] for known in tasks)
        codes = ",".join(known.texts[1] for known in tasks)
        others = ",".join(entry.text for entry in rest)
        text = (
            f'{{"plan":{{"tasks":[{plans}]}},"codes":[{codes}],"rest":{{{others}}},'
            f'"info":{self._info(recipe)}}}'
        )
        around = container.overhead(text, round(data.value))
        margin = _MARGIN + _DOUBT * sum(not part.exact for part in parts)
        margin += _NO_RECIPE if recipe is None else 0
        size = data + Known(around, around - margin, around + margin)
        whole = self._reference
        return {
            "bytes": size,
            "ratio": Known(whole / size.value, whole / size.high, whole / max(size.low, 1)),
        }

    def _info(self, recipe: Recipe | None) -> str:
        if recipe is not None and recipe is not self._recipe[0]:
            self._recipe = (recipe, _info(recipe))
        return self._recipe[1]


@dataclass(frozen=True)
class _Entry:
    """An entry of the model that stays as it is: its bytes, text and nonzero weights."""

    bytes: int
    text: str
    nonzeros: int


def _entry(name: str, tensor: Tensor) -> _Entry:
    text = f"{_text(name)}:{_text([dtype_code(tensor), list(tensor.shape)])}"
    matrix = tensor.is_floating_point() and tensor.dim() >= 2
    nonzeros = int(torch.count_nonzero(tensor)) if matrix else 0
    return _Entry(tensor.numel() * tensor.element_size(), text, nonzeros)


def _nonzeros(tasks: Iterable[_Known], rest: Iterable[_Entry]) -> dict[str, Known]:
    counts = [known.nonzeros for known in tasks]
    found = [count for count in counts if count is not None]
    if len(found) < len(counts):
        return {}
    return {"nonzeros": added([*found, Known.exactly(sum(entry.nonzeros for entry in rest))])}


def _matrix_nonzeros(estimate: Estimate, shapes: Shapes) -> Known | None:
    """Return the nonzeros among weights, without those of vectors in the same task."""
    count, weights = estimate.nonzeros, matrix_numbers(shapes)
    vectors = total_numel(shapes) - weights
    if count is None or not vectors:
        return count
    left = estimate.reals_shapes
    if len(left) == len(shapes) and count.exact and total_numel(left) == count.value:
        return Known.exactly(matrix_numbers(left))  # whole channels go: all shapes are known
    low = max(count.low - vectors, 0)
    value = count.value * weights / (weights + vectors)
    return Known(max(low, value), low, min(count.high, weights))


def _info(recipe: Recipe) -> str:
    steps = recipe.mu.steps if isinstance(recipe, LC) else 0
    info = {"recipe": recipe.model_dump(mode="json"), "status": "finished", "step": steps}
    return json.dumps(info, sort_keys=True, separators=(",", ":"))


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))

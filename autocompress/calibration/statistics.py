"""What was measured, and the norms of C steps made of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.compression.weighting import Covariance, Diagonal, Weighting
from autocompress.errors import AutocompressWarning, ModelError
from autocompress.plan import WEIGHTINGS, Plan, Task


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a model on training data, by kind and parameter.

    Attributes:
        values: For each kind (``"fisher"``, ``"activations"``, ``"covariance"``) and parameter name
            the raw statistic on the CPU: ``fisher`` float64 of the parameter's shape,
            ``activations`` float64 ``(1, in)`` or ``(groups, in/groups, *kernel)``, ``covariance``
            float32 ``(in · kernel, in · kernel)``.
        settings: What they were measured with: samples, batch size, seed.
    """

    values: Mapping[str, Mapping[str, Tensor]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def weighting(self, task: Task, model: nn.Module) -> Weighting | None:
        """Return the norm of a task's C step, on the device of its parameters.

        It is divided by its mean over all elements of the task. Constrained schemes have the same
        solutions at any scale; in penalized ones, α then means the same whatever the scale of the
        gradients or activations, and a constant statistic is exactly no weighting.

        Args:
            task: With exact parameter names (``Plan.resolve``).
            model: Whose parameters these are.

        Returns:
            None for ``"identity"``. Ones, with a warning, where the statistic is zero throughout (a
            dead layer): every solution is then as good as any other, and that of no weighting
            the most sensible.

        Raises:
            ModelError: nothing usable was measured of one of the parameters.
        """
        if task.weighting == "identity":
            return None
        params = dict(model.named_parameters())
        raw = [self._of(task, name, params[name]) for name in task.params]
        covariance = WEIGHTINGS[task.weighting] == "covariance"
        mean = _mean(raw, [params[name] for name in task.params], covariance)
        if mean == 0:
            warnings.warn(
                f"task {task.name!r}: the statistic {task.weighting!r} is zero throughout (the "
                "layer has no influence on the data): compressed without weighting",
                AutocompressWarning,
                stacklevel=2,
            )
            mean = 1.0
            raw = [None if v is None else _ones(v, covariance) for v in raw]
        if covariance:
            matrices = tuple(
                None if value is None else _to(value / mean, params[name])
                for name, value in zip(task.params, raw, strict=True)
            )
            return Covariance(matrices)
        values = []
        for name, value in zip(task.params, raw, strict=True):
            param = params[name]
            whole = torch.ones(param.shape) if value is None else value
            values.append(_expand(_to(whole / mean, param), param.shape))
        return Diagonal(tuple(values))

    def weightings(self, plan: Plan, model: nn.Module) -> dict[str, Weighting]:
        """Return the norms of a resolved plan's tasks, without those of the identity."""
        found = {task.name: self.weighting(task, model) for task in plan.tasks}
        return {name: weighting for name, weighting in found.items() if weighting is not None}

    def _of(self, task: Task, name: str, param: Tensor) -> Tensor | None:
        """Return a parameter's raw statistic; None where it is 1 by definition."""
        value = self.values.get(task.weighting, {}).get(name)
        if value is None and task.weighting != "fisher" and param.dim() < 2:
            return None  # what a bias is multiplied with is 1
        if value is None:
            raise ModelError(
                f"task {task.name!r}: {task.weighting!r} was not measured for {name!r}: calibrate "
                f"with a plan that has this task"
            )
        return value


def _mean(raw: list[Tensor | None], params: list[nn.Parameter], covariance: bool) -> float:
    """Mean of the norm's diagonal over all elements of the task that it applies to."""
    total, size = 0.0, 0
    for value, param in zip(raw, params, strict=True):
        if value is None and covariance:
            continue
        diagonal = value.diagonal() if value is not None and covariance else value
        mean = 1.0 if diagonal is None else float(diagonal.mean(dtype=torch.float64))
        total += mean * param.numel()
        size += param.numel()
    return total / size if size else 1.0


def _ones(value: Tensor, covariance: bool) -> Tensor:
    return torch.eye(len(value)) if covariance else torch.ones_like(value)


def _expand(value: Tensor, shape: torch.Size) -> Tensor:
    """Spread a statistic of inputs over a weight's outputs: a view where there are no groups."""
    if value.shape == shape:
        return value
    if value.shape[0] > 1:
        return value.repeat_interleave(shape[0] // value.shape[0], 0)
    return value.expand(shape)


def _to(value: Tensor, param: Tensor) -> Tensor:
    dtype = torch.float64 if param.dtype == torch.float64 else torch.float32
    return value.to(device=param.device, dtype=dtype)

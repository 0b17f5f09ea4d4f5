"""How a model uses its layers: found by running it once on one example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.calibration.patches import first_input
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating
from autocompress.layers import COMPRESSIBLE

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Uses:
    """What one forward pass showed.

    Attributes:
        calls: How often each module was called, by its name.
        whole: Names of modules whose input kept the batch as its first dimension.
        modules: Names of the modules that hold each parameter, by its first name.
    """

    calls: Mapping[str, int]
    whole: frozenset[str]
    modules: Mapping[str, tuple[str, ...]]

    def problem(self, name: str) -> str:
        """Say why a layer's inputs have no statistics; empty if they have."""
        owners = self.modules[name]
        if len(owners) > 1:
            return f"its weight is shared by {' and '.join(map(repr, owners))}"
        calls = self.calls.get(owners[0], 0)
        if calls == 0:
            return "the model never calls it on its inputs"
        return f"the model calls it {calls} times for one input" if calls > 1 else ""


def probe(model: nn.Module, example: Tensor) -> Uses:
    """Run a model on one example and note which layers it calls; it is left as it was.

    Raises:
        ModelError: it cannot run on the example.
    """
    calls: Counter[str] = Counter()
    shaped: set[str] = set()

    def note(name: str, module: nn.Module, x: Tensor) -> None:
        calls[name] += 1
        if _keeps_batch(module, x):
            shaped.add(name)

    layers = {n: m for n, m in model.named_modules() if isinstance(m, COMPRESSIBLE + _NORMS)}
    with watching(layers, note), evaluating(model):
        try:
            model(example[:1])
        except Exception as error:
            raise ModelError(f"the model cannot run on calibration data: {error}") from error
    return Uses(calls, frozenset(shaped), _owners(model))


@contextmanager
def watching(layers: Mapping[str, nn.Module], note: Any) -> Iterator[None]:
    """Inside the block, call ``note(name, module, input)`` before each call of a layer."""
    hooks = []
    for name, module in layers.items():

        def before(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = name
        ) -> None:
            note(name, module, first_input(args, kwargs).detach())

        hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def separable(model: nn.Module) -> bool:
    """Whether no example in a batch depends on the others, in evaluation mode."""
    return all(
        not isinstance(m, nn.modules.batchnorm._BatchNorm) or m.running_mean is not None
        for m in model.modules()
    )


def _keeps_batch(module: nn.Module, x: Tensor) -> bool:
    weight = module.weight
    if isinstance(module, nn.Linear):
        dims = x.dim() >= 2
    elif isinstance(module, COMPRESSIBLE):
        assert isinstance(weight, Tensor)
        dims = x.dim() == weight.dim()
    else:
        dims = x.dim() >= 2
    return dims and x.shape[0] == 1 and x.dtype in (torch.float32, torch.float64)


def _owners(model: nn.Module) -> dict[str, tuple[str, ...]]:
    first = {id(p): name for name, p in model.named_parameters()}
    owners: dict[str, tuple[str, ...]] = {}
    for name, module in model.named_modules():
        for param in module._parameters.values():
            if param is not None:
                key = first[id(param)]
                owners[key] = (*owners.get(key, ()), name)
    return owners

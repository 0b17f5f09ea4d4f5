"""The entry: decoded weights and codes in, a module that is really smaller out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence, Set

import torch
from torch import Tensor, nn

from autocompress.compression import Code
from autocompress.compression.factorized.factors import LowRankCode
from autocompress.compression.structured.structure import StructureCode
from autocompress.errors import AutocompressWarning
from autocompress.plan import Plan
from autocompress.realize.check import Probe
from autocompress.realize.lowrank import Factors, collapse, factorize, find_factors
from autocompress.realize.thin import thin, unfelt, zero_channels
from autocompress.realize.unread import unread_channels


def realize(model: nn.Module, plan: Plan, codes: Mapping[str, Code], example: Tensor) -> nn.Module:
    """Build a module that computes what the decoded model computes, with less.

    A low-rank layer becomes two layers wherever that takes fewer multiply-adds. Neurons and
    filters that structured pruning zeroed are removed, with every slice of other parameters that
    belongs to them; one that is added to a channel that is not zero stays. Where it pruned inputs,
    so are channels that nothing reads any more. Every other weight is the decoded one.

    The result is compared with the model on the example and on random inputs. A layer whose
    rewriting changes the outputs (removing a neuron is not exact before an activation with
    f(0) ≠ 0, such as the sigmoid) or cannot be traced keeps its decoded form.

    Args:
        model: The model with decoded weights. Not changed.
        plan: The resolved plan.
        codes: The code of each task, by its name.
        example: An input batch, ``(batch, *input_shape)``; its first sample is used.

    Returns:
        A new module, in eval mode, on the same device, that shares no tensor with ``model``.

    Raises:
        ModelError: the model cannot run on the example, or does not return one tensor.

    Warns:
        AutocompressWarning: a layer had to keep its decoded form.
    """
    with torch.inference_mode(False):  # tensors made in inference mode could never be traced
        base = copy.deepcopy(model).eval()
        base.zero_grad(set_to_none=True)
        if not any(isinstance(code, (LowRankCode, StructureCode)) for code in codes.values()):
            return base
        probe = Probe.of(base, example)
        factored, factors = _factored(base, probe, plan, codes, example)
        thinned = _thinned(factored, plan, codes, example)
        return collapse(thinned, factors, example)


def _factored(
    base: nn.Module, probe: Probe, plan: Plan, codes: Mapping[str, Code], example: Tensor
) -> tuple[nn.Module, list[Factors]]:
    factors = {f.name: f for f in find_factors(base, plan, codes, example)}
    module, layers = _most(
        base,
        lambda names: factorize(copy.deepcopy(base), [factors[name] for name in names]),
        list(factors),
        lambda module: probe.agrees(module, exact=False),
    )
    reason = "kept as one layer, since the model computes something else with two"
    _complain(factors.keys() - layers, reason)
    return module, [factors[name] for name in layers]


def _thinned(base: nn.Module, plan: Plan, codes: Mapping[str, Code], example: Tensor) -> nn.Module:
    pruned = zero_channels(base, plan, codes)
    unread = unread_channels(base, codes, example)
    zeros = {
        name: pruned.get(name, frozenset()) | unread.get(name, frozenset())
        for name in (*pruned, *(unread.keys() - pruned.keys()))
    }
    if not zeros:
        return base
    probe = Probe.of(base, example)

    def rewrite(layers: Sequence[str]) -> nn.Module:
        return thin(copy.deepcopy(base), layers, zeros, example)

    def correct(module: nn.Module) -> bool:
        return probe.agrees(module, exact=True)

    module = _attempt(rewrite, list(zeros), correct)
    if module is not None:
        return module
    try:
        possible = unfelt(copy.deepcopy(base), zeros, example, correct)
    except Exception:  # as in _attempt
        possible = []
    module, layers = _most(base, rewrite, possible, correct)
    _complain(
        pruned.keys() - layers,
        "kept with zero channels, since the model computes something else without them or its "
        "graph could not be traced",
    )
    return module


def _complain(layers: Set[str], reason: str) -> None:
    if layers:
        message = f"{', '.join(sorted(layers))}: {reason}"
        warnings.warn(message, AutocompressWarning, stacklevel=4)


def _most(
    base: nn.Module,
    rewrite: Callable[[Sequence[str]], nn.Module],
    layers: list[str],
    correct: Callable[[nn.Module], bool],
) -> tuple[nn.Module, list[str]]:
    """Rewrite a model in all the layers, or else in as many as leave it correct.

    Args:
        base: The model as it is.
        rewrite: Makes a new model with the given layers rewritten.
        layers: Paths of the layers that could be.
        correct: Whether a rewritten model will do.

    Returns:
        The rewritten model and the layers it is rewritten in.
    """
    best, accepted = base, list[str]()
    # the whole list first; where it fails its halves, down to single layers
    pending = [layers] if layers else []
    while pending:
        part = pending.pop()
        candidate = _attempt(rewrite, [*accepted, *part], correct)
        if candidate is not None:
            best, accepted = candidate, [*accepted, *part]
        elif len(part) > 1:
            half = len(part) // 2
            pending += [part[half:], part[:half]]
    return best, accepted


def _attempt(
    rewrite: Callable[[Sequence[str]], nn.Module],
    layers: list[str],
    correct: Callable[[nn.Module], bool],
) -> nn.Module | None:
    """Return the rewritten model if it could be made and is correct."""
    try:
        candidate = rewrite(layers)
    except Exception:  # torch-pruning gives up on a graph in many ways
        return None
    return candidate if correct(candidate) else None

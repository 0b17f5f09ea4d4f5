"""One model on one set of data: statistics looked up, or measured and kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocompress.calibration import fisher, moments
from autocompress.calibration.cache import Cache, Part
from autocompress.calibration.patches import Layer, finite
from autocompress.calibration.probe import Uses, probe
from autocompress.data import Data, Split
from autocompress.errors import DataError, ModelError
from autocompress.evaluation import Loss
from autocompress.jsonform import digest_of
from autocompress.layers import COMPRESSIBLE
from autocompress.models.identity import model_digest

_FORMAT = "autocompress-calibration/1"  # counts in the key: change it to measure everything again
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measuring:
    """One model on one set of calibration data.

    Attributes:
        model: The model.
        data: Where the training split comes from.
        settings: Number of samples, batch size and seed.
        loss: Mean loss that Fisher information is of.
        folder: Where statistics are kept; None for nowhere but in memory.
    """

    model: nn.Module
    data: Data
    settings: Mapping[str, Any]
    loss: Loss
    folder: Path | None

    def values(self, kind: str, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the statistics of parameters, measured now where they are not yet."""
        own_loss = kind == "fisher" and self.loss is not F.cross_entropy
        cache = Cache(None if own_loss else self.folder)
        parts = {name: self._cached(cache, kind, name) for name in names}
        if any(part is None for part in parts.values()):
            with cache.lock(f"{kind}-{self.key}"):
                parts = {name: self._cached(cache, kind, name) for name in names}
                missing = [name for name, part in parts.items() if part is None]
                parts |= self._measure(cache, kind, missing) if missing else {}
        found = {}
        for name, part in parts.items():
            assert part is not None
            if name not in part.values:
                raise ModelError(_explain(kind, name, part.problems.get(name, "")))
            found[name] = part.values[name]
        return found

    @cached_property
    def key(self) -> str:
        """16 hex digits over everything the statistics depend on."""
        text = [_FORMAT, model_digest(self.model), self.data.digest, dict(self.settings)]
        return digest_of(text)

    def _cached(self, cache: Cache, kind: str, name: str) -> Part | None:
        """Look for a parameter among what all layers share, then for its own file."""
        whole = cache.get(f"{kind}-{self.key}")
        if whole is not None and (name in whole.values or name in whole.problems):
            return whole
        return cache.get(self._own_key(kind, name))

    def _own_key(self, kind: str, name: str) -> str:
        return f"{kind}-{self.key}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def _measure(self, cache: Cache, kind: str, names: list[str]) -> dict[str, Part | None]:
        """Measure what is missing; other layers that cost little more come along."""
        _log.info("measuring %s on %d training examples", kind, len(self.split))
        devices = [self.data.device] if self.data.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # data may draw from it
            uses = probe(self.model, next(iter(self._batches()))[0])
            if kind == "covariance":
                parts = self._covariance(names, uses)
                return {n: self._keep(cache, self._own_key(kind, n), parts[n]) for n in names}
            whole = self._activations(uses) if kind == "activations" else self._fisher(uses)
            if whole.values:
                self._keep(cache, f"{kind}-{self.key}", whole)
            told = {*whole.values, *whole.problems}
            found: dict[str, Part | None] = {n: whole for n in names if n in told}
            rest = [n for n in names if n not in told]
            if kind == "activations":
                return found | {n: Part({}, {n: _no_layer(self.model, n, uses)}) for n in rest}
            slow = fisher.one_by_one(self.model, rest, self._batches(), self.loss) if rest else {}
            for n in rest:
                part = _checked({n: slow[n]} if n in slow else {}, kind)
                found[n] = self._keep(cache, self._own_key(kind, n), part)
            return found

    def _keep(self, cache: Cache, key: str, part: Part) -> Part:
        cache.put(key, part)
        return part

    def _activations(self, uses: Uses) -> Part:
        layers = _layers(self.model, uses)
        return self._moments(moments.activations, layers, "activations")

    def _covariance(self, names: list[str], uses: Uses) -> dict[str, Part]:
        layers = _layers(self.model, uses)
        problems = {n: _no_layer(self.model, n, uses) for n in names if n not in layers}
        for name in [n for n in names if n in layers]:
            problem = moments.covariance_problem(layers[name])
            problems |= {name: problem} if problem else {}
        usable = {n: layers[n] for n in names if n not in problems}
        part = self._moments(moments.covariance, usable, "covariance") if usable else Part()
        problems |= part.problems
        return {
            n: Part({n: part.values[n]}) if n in part.values else Part({}, {n: problems[n]})
            for n in names
        }

    def _moments(
        self, collect: Callable[..., dict[str, Tensor]], layers: Mapping[str, Layer], kind: str
    ) -> Part:
        """Collect by weight name (hooks go by any name)."""
        values = collect(self.model, layers, (x for x, _ in self._batches()))
        return _checked(values, kind)

    def _fisher(self, uses: Uses) -> Part:
        layers = fisher.batched(self.model, uses)
        if not layers:
            return Part()
        return _checked(
            fisher.from_batches(self.model, layers, self._batches(), self.loss), "fisher"
        )

    @cached_property
    def split(self) -> Split:
        """The examples used."""
        return self.data.train.subset(self.settings["samples"], self.settings["seed"])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.split.batches(self.settings["batch_size"]):
            if not finite(x):
                raise DataError(
                    f"calibration: an example of the training data {self.data.name!r} has NaN or "
                    "infinity; remove or repair it"
                )
            yield x, y


def _layers(model: nn.Module, uses: Uses) -> dict[str, Layer]:
    """Return the layers called exactly once for an input, by the name of their weight."""
    layers = {}
    for name, module in model.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if isinstance(module, COMPRESSIBLE) and weight in uses.modules and not uses.problem(weight):
            layers[weight] = module
    return layers


def _no_layer(model: nn.Module, name: str, uses: Uses) -> str:
    """Say why a parameter has no statistic of its inputs."""
    owner = model.get_submodule(name.rpartition(".")[0])
    if not isinstance(owner, COMPRESSIBLE) or not name.endswith("weight"):
        return "it is not the weight of a linear or convolutional layer"
    return uses.problem(name)


def _checked(values: Mapping[str, Tensor], kind: str) -> Part:
    """Tell the finite statistics from the others."""
    good = {name: value for name, value in values.items() if finite(value)}
    what = "squared gradients" if kind == "fisher" else "inputs"
    problem = f"its {what} are not finite: the model or the scale of the data is broken there"
    return Part(good, {name: problem for name in values if name not in good})


def _explain(kind: str, name: str, problem: str) -> str:
    problem = problem or "the loss does not depend on it"
    other = "'activations' or 'identity'" if kind == "covariance" else "'identity'"
    return (
        f"calibration: {kind!r} cannot be measured for {name!r}: {problem}. Leave it out of the "
        f"task, or use the weighting {other}"
    )

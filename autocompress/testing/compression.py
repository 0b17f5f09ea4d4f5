"""The contract of a compression scheme, as tests."""

from __future__ import annotations

import copy
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from autocompress.compression.base import Code, Compression, Tensors, shapes_of
from autocompress.compression.extension.extensions import EXTENSIONS, Unknown, reference
from autocompress.compression.registry import from_dict, name_of, to_dict
from autocompress.errors import SchemeError
from autocompress.outside import find
from autocompress.plan import Plan, Task
from autocompress.recover.leaves import leaves, rebuilt
from autocompress.storage import PackedModel, codec, read, write

_CODER = importlib.util.find_spec("constriction") is not None


def default_weights() -> list[Tensors]:
    """Return weights that schemes meet: a layer, several, a convolution; ties, zeros, extremes.

    Schemes that cannot apply to some of them say so in ``check`` and are not tested on those.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    layer, filters = normal(12, 20), normal(8, 3, 3, 2)
    integers = torch.randint(-2, 3, (10, 9), generator=generator)
    return [
        (layer,),
        (normal(6, 10), normal(6), filters, normal(8)),
        (normal(7, 5).to(torch.float64),),
        (integers.float(),),
        (torch.full((4, 6), 0.5), torch.full((4,), 0.5)),
        (torch.zeros(5, 4),),
        (layer * 1e-30, filters * 1e-30),
        (layer * 1e30,),
        (normal(9, 8).t(), filters.to(memory_format=torch.channels_last)),
    ]


class CompressionContract(ABC):
    """What every scheme must do; subclass as ``Test...`` and give :meth:`make`.

    Attributes:
        codes: Code classes of your own that the schemes produce and do not name themselves, in
            their ``codes``.
        optimal: Whether ``project`` returns the nearest weights that the scheme can express. Set
            False for penalties, heuristics and local optima.
    """

    codes: ClassVar[Sequence[type[Code]]] = ()
    optimal: ClassVar[bool] = True

    @abstractmethod
    def make(self) -> Sequence[Compression]:
        """Return the schemes to test, with typical and with extreme hyperparameters."""

    def weights(self) -> Sequence[Tensors]:
        """Return the weights to test on; add those that matter to your scheme."""
        return default_weights()

    def cases(self) -> Iterator[tuple[Compression, Tensors]]:
        """Yield every scheme with all the weights that its ``check`` accepts."""
        for scheme in self.make():
            accepted = [w for w in self.weights() if _accepts(scheme, w)]
            assert accepted, f"{scheme.describe()} accepts none of the weights: add some"
            for weights in accepted:
                yield scheme, weights

    def test_decoded_weights_look_like_the_projected_ones(self) -> None:
        for scheme, weights in self.cases():
            decoded = scheme.project(weights, mu=1.0).decode()
            assert [(d.shape, d.dtype, d.device) for d in decoded] == [
                (w.shape, w.dtype, w.device) for w in weights
            ], scheme.describe()
            assert all(bool(d.isfinite().all()) for d in decoded), scheme.describe()
            assert not any(d.requires_grad for d in decoded)

    def test_weights_are_not_changed_nor_kept(self) -> None:
        for scheme, weights in self.cases():
            mine = tuple(w.clone().requires_grad_() for w in weights)
            code = scheme.project(mine, mu=1.0)
            assert _same(mine, weights), f"{scheme.describe()} changed its input"
            before = _copied(code.decode())
            with torch.no_grad():
                for w in mine:
                    w.fill_(7.0)
            assert _same(code.decode(), before), f"{scheme.describe()} keeps its input"

    def test_decoding_gives_tensors_of_its_own(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            before = _copied(code.decode())
            for d in code.decode():
                d.fill_(7.0)
            assert _same(code.decode(), before), f"{scheme.describe()} gives its own tensors away"

    def test_decoded_weights_are_functions_of_their_numbers(self) -> None:
        """Fine-tuning trains a code's numbers by the chain rule through ``decode``."""
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            numbers = [leaf.requires_grad_() for leaf in leaves(code)]
            decoded = rebuilt(code, numbers, rounded=False).decode()
            assert _close(decoded, code.decode()), scheme.describe()
            if any(leaf.numel() for leaf in numbers):
                total = torch.stack([d.double().sum() for d in decoded]).sum()
                torch.autograd.backward(total)
                assert any(leaf.grad is not None for leaf in numbers), scheme.describe()

    def test_schemes_keep_no_state(self) -> None:
        for scheme, weights in self.cases():
            first = scheme.project(weights, mu=1.0)
            scheme.project(tuple(-w for w in weights), mu=1.0)
            again = scheme.project(weights, mu=1.0)
            assert _same(first.decode(), again.decode()), scheme.describe()
            assert first.bits() == again.bits()

    def test_schemes_are_values(self) -> None:
        for scheme in self.make():
            assert scheme == copy.deepcopy(scheme)
            assert hash(scheme) == hash(copy.deepcopy(scheme))
            assert scheme.name in scheme.describe()
            for field in fields(scheme):  # type: ignore[arg-type]  # concrete ones are dataclasses
                with pytest.raises(FrozenInstanceError):
                    setattr(scheme, field.name, None)

    def test_a_warm_start_does_no_harm(self) -> None:
        """Not worse than a cold start, or, where optima are local, than where it started."""
        for scheme, weights in self.cases():
            cold = scheme.project(weights, mu=1.0)
            elsewhere = scheme.project(tuple(w * 0.7 + w.abs().mean() for w in weights), mu=1.0)
            for previous in (cold, elsewhere):
                warm = scheme.project(weights, mu=1.0, previous=previous)
                bound = error(cold, weights)
                if not self.optimal:
                    bound = max(bound, error(previous, weights))
                assert self._no_worse(warm, weights, bound), scheme.describe()

    def test_no_other_weights_of_the_scheme_are_nearer(self) -> None:
        """Projections of other weights are what the scheme can express too."""
        if not self.optimal:
            pytest.skip("not a projection onto a set")
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            generator = torch.Generator().manual_seed(1)
            for step in range(8):
                noise = (torch.rand(w.shape, generator=generator, dtype=w.dtype) for w in weights)
                scale = 2.0 ** -(step * 2)
                near = tuple(
                    w + scale * w.abs().mean() * (n - 0.5)
                    for w, n in zip(weights, noise, strict=True)
                )
                other = error(scheme.project(near, mu=1.0), weights)
                assert self._no_worse(code, weights, other), scheme.describe()

    def test_projecting_twice_changes_nothing(self) -> None:
        if not self.optimal:
            pytest.skip("not a projection onto a set")
        for scheme, weights in self.cases():
            decoded = scheme.project(weights, mu=1.0).decode()
            assert self._no_worse(scheme.project(decoded, mu=1.0), decoded, 0.0), scheme.describe()

    def test_codes_survive_json_and_tensors(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            node, tensors = codec.encode(code, "x")
            again = codec.decode(json.loads(json.dumps(node)), tensors, self._codes(scheme))
            assert _same(again.decode(), code.decode()), scheme.describe()
            assert again.bits() == code.bits()

    def test_packed_files_give_back_every_bit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, (scheme, weights) in enumerate(self.cases()):
            _register(monkeypatch, scheme)
            model = self._packed(scheme, weights)
            for entropy in (False, True) if _CODER else (False,):
                write(tmp_path / f"{number}", model, entropy=entropy)
                again = read(tmp_path / f"{number}", self._codes(scheme))
                decoded = tuple(again.weights().values())
                assert _same(decoded, model.codes["task"].decode()), scheme.describe()
                assert again.plan == model.plan

    def test_bits_are_what_the_buffers_take(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            buffers = codec.encode(code, "x")[1].values()
            stored = sum(8 * b.numel() * b.element_size() for b in buffers)
            # each buffer is rounded up to whole bytes
            assert code.bits() <= stored < code.bits() + 8 * max(len(buffers), 1), scheme.describe()

    def test_estimates_hold(self) -> None:
        """Of float32 weights that are all different; exact ones to the bit."""
        for scheme, weights in self.cases():
            estimate = scheme.estimate(shapes_of(weights))
            flat = torch.cat([w.reshape(-1) for w in weights])
            if estimate is not None and flat.dtype == torch.float32 and _all_different(flat):
                bits, found = scheme.project(weights, mu=1.0).bits(), estimate.bits
                assert found.low <= found.value <= found.high, scheme.describe()
                assert found.low <= bits <= found.high, scheme.describe()

    def test_damaged_codes_are_refused(self) -> None:
        for scheme, weights in self.cases():
            node, tensors = codec.encode(scheme.project(weights, mu=1.0), "x")
            for name in tensors:
                others = {k: v for k, v in tensors.items() if k != name}
                with pytest.raises(ValueError, match=r"."):
                    codec.decode(node, others, self._codes(scheme)).decode()
            for name, tensor in tensors.items():
                if tensor.numel():
                    damaged = tensors | {name: tensor[:-1]}
                    with pytest.raises(ValueError, match=r"."):
                        codec.decode(node, damaged, self._codes(scheme)).decode()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_weights_that_are_not_finite_are_refused(self, value: float) -> None:
        for scheme, weights in self.cases():
            bad = _copied(weights)
            bad[-1].view(-1)[-1:] = value
            with pytest.raises(SchemeError, match=r"NaN|infinity"):
                scheme.project(bad, mu=1.0)

    def test_schemes_survive_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for scheme in self.make():
            _register(monkeypatch, scheme)
            written = to_dict(scheme)
            assert written["scheme"] == name_of(type(scheme))
            assert from_dict(json.loads(json.dumps(written))) == scheme

    def test_names_of_extensions_lead_to_them(self) -> None:
        """``module:Class`` in a plan finds the class; a class inside a function has no name."""
        for scheme in self.make():
            name = name_of(type(scheme))
            if ":" in name and "<locals>" not in name:
                found = find(name, "scheme", SchemeError)
                assert found is type(scheme) or type(found) is type(scheme) or callable(found), name

    def test_files_can_be_read_without_the_scheme(self, tmp_path: Path) -> None:
        """Whoever is sent a packed file needs its codes, not the scheme that made them."""
        for number, (scheme, weights) in enumerate(self.cases()):
            if ":" not in name_of(type(scheme)):
                continue
            model = self._packed(scheme, weights)
            write(tmp_path / f"{number}", model)
            again = read(tmp_path / f"{number}", self._codes(scheme))
            assert isinstance(again.plan.tasks[0].compression, (Unknown, type(scheme)))
            assert again.plan.to_dict() == model.plan.to_dict()
            assert _same(tuple(again.weights().values()), tuple(model.weights().values()))

    def test_the_canonical_scheme_has_the_same_solutions(self) -> None:
        for scheme, weights in self.cases():
            shapes = shapes_of(weights)
            simple = scheme.canonical(shapes)
            assert simple.canonical(shapes) == simple, scheme.describe()
            ours, theirs = (s.project(weights, mu=1.0) for s in (scheme, simple))
            assert self._no_worse(ours, weights, error(theirs, weights)), scheme.describe()
            assert self._no_worse(theirs, weights, error(ours, weights)), scheme.describe()

    def _packed(self, scheme: Compression, weights: Tensors) -> PackedModel:
        names = tuple(f"p{i}" for i in range(len(weights)))
        code = scheme.project(weights, mu=1.0)
        return PackedModel(Plan([Task("task", names, scheme)]), {"task": code}, {})

    def _codes(self, scheme: Compression) -> tuple[type[Code], ...]:
        return (*self.codes, *scheme.codes)

    def _no_worse(self, code: Code, weights: Tensors, bound: float) -> bool:
        """Whether a code's error is at most ``bound``, up to rounding in the weights' dtype."""
        epsilon = max(torch.finfo(w.dtype).eps for w in weights)
        scale = sum(float(w.double().norm()) for w in weights)
        ours = error(code, weights) ** 0.5
        return bool(ours <= bound**0.5 * (1 + 1e-6) + 16 * epsilon * scale)


def error(code: Code, weights: Tensors) -> float:
    """Return the squared distance ‖w − Δ(Θ)‖², computed in double precision."""
    pairs = zip(code.decode(), weights, strict=True)
    return sum(float((w.detach().double() - d.double()).square().sum()) for d, w in pairs)


def _accepts(scheme: Compression, weights: Tensors) -> bool:
    try:
        scheme.check(shapes_of(weights))
    except SchemeError:
        return False
    return True


def _register(monkeypatch: pytest.MonkeyPatch, scheme: Compression) -> None:
    """Make an extension's scheme known for one test, and those inside it."""
    if ":" in name_of(type(scheme)):
        monkeypatch.setitem(EXTENSIONS, reference(type(scheme)), type(scheme))
    for inner in getattr(scheme, "of", ()):
        _register(monkeypatch, inner)


def _all_different(flat: Tensor) -> bool:
    return bool(torch.unique(flat).numel() == flat.numel())


def _close(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(torch.allclose(x.detach(), y, rtol=1e-5) for x, y in zip(a, b, strict=True))


def _copied(tensors: Tensors) -> Tensors:
    return tuple(t.detach().clone(memory_format=torch.contiguous_format) for t in tensors)


def _same(a: Sequence[Tensor], b: Sequence[Any]) -> bool:
    """Whether two tuples of tensors agree in every bit but the sign of zero."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True)
    )

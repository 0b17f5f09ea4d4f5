"""What contract tests of schemes are run on, and how tensors and codes are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from autocompress.compression.base import Code, Compression, Tensors, shapes_of
from autocompress.compression.extension.extensions import EXTENSIONS, reference
from autocompress.compression.registry import name_of
from autocompress.errors import SchemeError


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


class SchemeCases(ABC):
    """The schemes to test, and the weights to test each of them on.

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


def same(a: Sequence[Tensor], b: Sequence[Any]) -> bool:
    """Whether two tuples of tensors agree in every bit but the sign of zero."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True)
    )


def copied(tensors: Tensors) -> Tensors:
    """Return copies of tensors, laid out in the plain order."""
    return tuple(t.detach().clone(memory_format=torch.contiguous_format) for t in tensors)


def close(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether two tuples of tensors agree up to rounding."""
    return all(torch.allclose(x.detach(), y, rtol=1e-5) for x, y in zip(a, b, strict=True))


def register(monkeypatch: pytest.MonkeyPatch, scheme: Compression) -> None:
    """Make an extension's scheme known for one test, and those inside it."""
    if ":" in name_of(type(scheme)):
        monkeypatch.setitem(EXTENSIONS, reference(type(scheme)), type(scheme))
    for inner in getattr(scheme, "of", ()):
        register(monkeypatch, inner)


def _accepts(scheme: Compression, weights: Tensors) -> bool:
    try:
        scheme.check(shapes_of(weights))
    except SchemeError:
        return False
    return True

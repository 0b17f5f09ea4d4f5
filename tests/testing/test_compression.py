"""The contract suite finds what it is there to find: schemes broken in one way each."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import pytest
import torch
from torch import Tensor

from autocompress.compression import Code, Compression, Dense, Prune
from autocompress.compression.base import Meta, Shapes, Tensors, flatten, shapes_of
from autocompress.compression.dense import DenseCode
from autocompress.compression.pruning.prune import SparseCode
from autocompress.errors import MissingExtra, SchemeError
from autocompress.testing import CompressionContract


def suite(*schemes: Compression, codes: Sequence[type[Code]] = ()) -> CompressionContract:
    members = {"make": lambda self: list(schemes), "codes": codes}
    return cast(CompressionContract, type("Suite", (CompressionContract,), members)())


@dataclass(frozen=True)
class Broken(Compression):
    """Keeps every weight; the subclasses do one thing wrong."""

    name: ClassVar[str] = "test-broken"

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return Dense().project(weights, mu=mu)


class Aliasing(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return DenseCode(flatten(weights), shapes_of(weights), weights[0].dtype)


class Mutating(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        with torch.no_grad():
            weights[0].mul_(0.5)
        return super().project(weights, mu=mu)


class Flattening(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        flat = torch.cat([w.detach().reshape(-1) for w in weights])
        return super().project((flat,), mu=mu)


class Narrowing(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return super().project(tuple(w.to(torch.float16) for w in weights), mu=mu)


class Remembering(Broken):
    calls: ClassVar[list[int]] = []

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        self.calls.append(1)
        return super().project(tuple(w * len(self.calls) for w in weights), mu=mu)


class Gullible(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return super().project(tuple(torch.nan_to_num(w.detach()) for w in weights), mu=mu)


class Smallest(Broken):
    """Keeps the half of smallest magnitude: sparse enough, but not the nearest."""

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        flat = flatten(weights)
        index = flat.abs().argsort()[: max(1, flat.numel() // 2)].sort().values
        values = flat[index]
        inner = DenseCode(values, (tuple(values.shape),), values.dtype)
        return SparseCode(index, inner, shapes_of(weights))


class Drifting(Broken):
    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        shift = 0.0 if previous is None else 1.0
        return super().project(tuple(w + shift * w.abs().max() for w in weights), mu=mu)


class Simplifying(Broken):
    def canonical(self, shapes: Shapes) -> Compression:
        return Prune(0.01)


@dataclass(unsafe_hash=True)
class Changeable(Compression):
    name: ClassVar[str] = "test-changeable"
    level: int = 1

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return Dense().project(weights, mu=mu)


@pytest.mark.parametrize(
    ("scheme", "test"),
    [
        (Aliasing(), "test_weights_are_not_changed_nor_kept"),
        (Mutating(), "test_weights_are_not_changed_nor_kept"),
        (Flattening(), "test_decoded_weights_look_like_the_projected_ones"),
        (Narrowing(), "test_decoded_weights_look_like_the_projected_ones"),
        (Remembering(), "test_schemes_keep_no_state"),
        (Smallest(), "test_no_other_weights_of_the_scheme_are_nearer"),
        (Drifting(), "test_a_warm_start_does_no_harm"),
        (Simplifying(), "test_the_canonical_scheme_has_the_same_solutions"),
    ],
)
def test_broken_schemes_fail(scheme: Compression, test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(suite(scheme), test)()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_schemes_that_take_anything_fail(value: float) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        suite(Gullible()).test_weights_that_are_not_finite_are_refused(value)


@dataclass(frozen=True, eq=False)
class BadCode(Code):
    """Doubles in ``restore``, forgets bits, gives its tensors away: as asked."""

    kind: ClassVar[str] = "test-bad"
    inner: DenseCode
    fault: str

    def decode(self) -> Tensors:
        if self.fault == "shares":
            return tuple(self.inner.flat.split([torch.Size(s).numel() for s in self.inner.shapes]))
        return self.inner.decode()

    def own_bits(self) -> int:
        return 8 if self.fault == "bits" else self.inner.own_bits()

    def tensors(self) -> dict[str, Tensor]:
        return self.inner.tensors()

    def meta(self) -> Meta:
        return self.inner.meta() | {"fault": self.fault}

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        flat = tensors["flat"]
        if meta["fault"] == "trusting":
            wanted = sum(torch.Size(shape).numel() for shape in meta["shapes"])
            flat = torch.nn.functional.pad(flat, (0, wanted - flat.numel()))
        inner = DenseCode.restore(meta, {"flat": flat}, children)
        if meta["fault"] == "restores":
            inner = replace(inner, flat=inner.flat * 2)
        return cls(inner, meta["fault"])


@dataclass(frozen=True)
class Bad(Compression):
    name: ClassVar[str] = "test-bad"
    fault: str

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return BadCode(Dense().project(weights, mu=mu), self.fault)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("shares", "test_decoding_gives_tensors_of_its_own"),
        ("bits", "test_bits_are_what_the_buffers_take"),
        ("restores", "test_codes_survive_json_and_tensors"),
    ],
)
def test_broken_codes_fail(fault: str, test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(suite(Bad(fault), codes=[BadCode]), test)()
    getattr(suite(Bad("none"), codes=[BadCode]), test)()


def test_codes_that_restore_from_anything_fail() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        suite(Bad("trusting"), codes=[BadCode]).test_damaged_codes_are_refused()
    suite(Bad("none"), codes=[BadCode]).test_damaged_codes_are_refused()


def test_codes_that_are_not_passed_on_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="codes="):
        suite(Bad("none")).test_packed_files_give_back_every_bit(tmp_path, monkeypatch)
    suite(Bad("none"), codes=[BadCode]).test_packed_files_give_back_every_bit(tmp_path, monkeypatch)


def test_schemes_that_can_be_changed_fail() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        suite(Changeable()).test_schemes_are_values()


def test_extension_schemes_are_forgotten_after_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from autocompress.compression.extension.extensions import EXTENSIONS, reference

    before = dict(EXTENSIONS)
    with monkeypatch.context() as context:
        suite(Bad("none")).test_schemes_survive_json(context)
        assert EXTENSIONS[reference(Bad)] is Bad
    assert before == EXTENSIONS


def test_schemes_that_accept_no_weights_say_so() -> None:
    class Picky(Broken):
        def check(self, shapes: Shapes) -> None:
            raise SchemeError("no")

    with pytest.raises(AssertionError, match="accepts none of the weights"):
        suite(Picky()).test_schemes_keep_no_state()


def test_without_pytest_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pytest":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    module = sys.modules["autocompress.testing"]
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"autocompress\[test\]"):
        importlib.reload(module)

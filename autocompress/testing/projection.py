"""The contract of a scheme's projection: pure, as near as the scheme can come, differentiable."""

from __future__ import annotations

import pytest
import torch

from autocompress.compression.base import shapes_of
from autocompress.errors import SchemeError
from autocompress.recover.leaves import leaves, rebuilt
from autocompress.testing.cases import SchemeCases, close, copied, error, same


class ProjectionContract(SchemeCases):
    """What ``project`` and ``decode`` must do."""

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
            assert same(mine, weights), f"{scheme.describe()} changed its input"
            before = copied(code.decode())
            with torch.no_grad():
                for w in mine:
                    w.fill_(7.0)
            assert same(code.decode(), before), f"{scheme.describe()} keeps its input"

    def test_decoding_gives_tensors_of_its_own(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            before = copied(code.decode())
            for d in code.decode():
                d.fill_(7.0)
            assert same(code.decode(), before), f"{scheme.describe()} gives its own tensors away"

    def test_decoded_weights_are_functions_of_their_numbers(self) -> None:
        """Fine-tuning trains a code's numbers by the chain rule through ``decode``."""
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            numbers = [leaf.requires_grad_() for leaf in leaves(code)]
            decoded = rebuilt(code, numbers, rounded=False).decode()
            assert close(decoded, code.decode()), scheme.describe()
            if any(leaf.numel() for leaf in numbers):
                total = torch.stack([d.double().sum() for d in decoded]).sum()
                torch.autograd.backward(total)
                assert any(leaf.grad is not None for leaf in numbers), scheme.describe()

    def test_schemes_keep_no_state(self) -> None:
        for scheme, weights in self.cases():
            first = scheme.project(weights, mu=1.0)
            scheme.project(tuple(-w for w in weights), mu=1.0)
            again = scheme.project(weights, mu=1.0)
            assert same(first.decode(), again.decode()), scheme.describe()
            assert first.bits() == again.bits()

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

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_weights_that_are_not_finite_are_refused(self, value: float) -> None:
        for scheme, weights in self.cases():
            bad = copied(weights)
            bad[-1].view(-1)[-1:] = value
            with pytest.raises(SchemeError, match=r"NaN|infinity"):
                scheme.project(bad, mu=1.0)

    def test_the_canonical_scheme_has_the_same_solutions(self) -> None:
        for scheme, weights in self.cases():
            shapes = shapes_of(weights)
            simple = scheme.canonical(shapes)
            assert simple.canonical(shapes) == simple, scheme.describe()
            ours, theirs = (s.project(weights, mu=1.0) for s in (scheme, simple))
            assert self._no_worse(ours, weights, error(theirs, weights)), scheme.describe()
            assert self._no_worse(theirs, weights, error(ours, weights)), scheme.describe()

"""The Fisher diagonal against one backward pass per example."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocompress.calibration import calibrate, fisher
from autocompress.data import Data
from autocompress.errors import ModelError
from tests.calibration.odd import SIDE


def slow_fisher(model: nn.Module, data: Data) -> dict[str, Tensor]:
    """One example, one backward pass, at a time."""
    model = copy.deepcopy(model).requires_grad_().eval()
    params = dict(model.named_parameters())
    totals = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in params.items()}
    x, y = next(iter(data.train.batches(len(data.train))))
    for n in range(len(x)):
        model.zero_grad()
        F.cross_entropy(model(x[n : n + 1]), y[n : n + 1]).backward()
        for name, param in params.items():
            if param.grad is not None:
                totals[name] += param.grad.double().square()
    return {name: total / len(x) for name, total in totals.items()}


def test_fisher_equals_one_backward_pass_per_example(odd: nn.Module, odd_data: Data) -> None:
    names = [n for n, _ in odd.named_parameters() if not n.startswith("spare")]
    before = {n: v.clone() for n, v in odd.state_dict().items()}
    odd.train()
    rng = torch.get_rng_state()
    ours = calibrate(odd, {"fisher": names}, odd_data, batch_size=7, cache=False)
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(m.training for m in odd.modules())
    odd.eval()
    theirs = slow_fisher(odd, odd_data)
    for name in names:
        value = ours.values["fisher"][name]
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, theirs[name], rtol=2e-4, atol=1e-12, msg=name)
        assert value.sum() > 0
    assert not odd.frozen.weight.requires_grad
    assert all(p.grad is None for p in odd.parameters())
    assert all(torch.equal(v, before[n]) for n, v in odd.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in odd.modules())


def test_fisher_of_ordinary_layers_needs_no_loop(
    odd: nn.Module, odd_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fisher, "one_by_one", None)
    names = ["stem.weight", "bn.weight", "bn.bias", "grouped.bias", "mix.weight", "out.bias"]
    calibrate(odd, {"fisher": names}, odd_data, cache=False)


def test_tied_weights_and_batch_statistics_take_the_slow_way(odd_data: Data) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2 * SIDE * SIDE, 3)
            self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3)
            self.c.weight = self.b.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.tanh(self.b(torch.tanh(self.a(x.flatten(1))))))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Tied()
    names = [n for n, _ in model.named_parameters()]
    found = calibrate(model, {"fisher": names}, odd_data, cache=False)
    theirs = slow_fisher(model, odd_data)
    for name in names:
        torch.testing.assert_close(found.values["fisher"][name], theirs[name], rtol=1e-4, atol=0)
    with pytest.raises(ModelError, match="its weight is shared by 'b' and 'c'"):
        calibrate(model, {"activations": ["b.weight"]}, odd_data, cache=False)

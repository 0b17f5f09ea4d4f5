from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autocompress.realize.check import Probe


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).eval()


def test_reordered_neurons_agree_exactly() -> None:
    model = network()
    other = copy.deepcopy(model)
    order = torch.tensor([3, 1, 0, 4, 2])
    other[0].weight.data, other[0].bias.data = model[0].weight[order], model[0].bias[order]
    other[2].weight.data = model[2].weight[:, order]
    assert Probe.of(model, torch.zeros(1, 6)).agrees(other, exact=True)


def test_a_change_below_float32_noise_is_seen_only_when_exactness_is_asked() -> None:
    model = network()
    other = copy.deepcopy(model)
    other[2].bias.data += 1e-6
    probe = Probe.of(model, torch.zeros(1, 6))
    assert not probe.agrees(other, exact=True)
    assert probe.agrees(other, exact=False)


def test_a_change_the_example_does_not_show_is_seen() -> None:
    model = network()
    other = copy.deepcopy(model)
    other[0].weight.data *= 2  # no difference on the zero example
    assert not Probe.of(model, torch.zeros(1, 6)).agrees(other, exact=False)


def test_other_shapes_and_errors_disagree() -> None:
    probe = Probe.of(network(), torch.zeros(1, 6))
    assert not probe.agrees(nn.Linear(6, 1), exact=False)
    assert not probe.agrees(nn.Linear(7, 3), exact=False)


class FixedType(nn.Module):
    """Casts to float32 whatever it is cast to."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 6)
        self.head = network()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.table(x).float())
        return out


def test_integer_inputs_and_fixed_types_are_compared_in_the_models_own() -> None:
    model = FixedType().eval()
    other = copy.deepcopy(model)
    probe = Probe.of(model, torch.tensor([[1, 2, 3]]))
    assert probe.dtype == torch.float32
    assert probe.inputs.dtype == torch.int64
    assert probe.agrees(other, exact=True)
    other.head[0].weight.data *= 2
    assert not probe.agrees(other, exact=True)

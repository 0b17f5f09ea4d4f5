from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autocompress.compression import (
    Additive,
    Codebook,
    Compose,
    GlobalRank,
    LowRank,
    Prune,
    RankSelection,
    StructurePrune,
)
from autocompress.errors import AutocompressWarning
from autocompress.metrics.flops import count_flops
from autocompress.plan import Plan, Task
from autocompress.realize import realize
from tests.realize.networks import Chain, direct, images


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def realized(model: nn.Module, *tasks: Task, size: tuple[int, ...] = (1, 8, 8)) -> nn.Module:
    """Compress directly, realize, and check that both compute the same."""
    decoded, resolved, codes = direct(model, Plan(tasks))
    before = {name: tensor.clone() for name, tensor in decoded.state_dict().items()}
    small = realize(decoded, resolved, codes, torch.zeros(1, *size))
    x = torch.randn(5, *size)
    torch.testing.assert_close(small(x), decoded(x), rtol=1e-5, atol=1e-5)
    assert decoded.state_dict().keys() == before.keys()
    assert all(torch.equal(t, before[n]) for n, t in decoded.state_dict().items())
    return small


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def test_a_linear_layer_becomes_two_the_second_with_the_bias() -> None:
    small = realized(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Linear(30, 4)),
        Task("t", "1.weight", LowRank(3)),
    )
    assert shapes(small) == {
        "1.0.weight": (3, 64),
        "1.1.weight": (30, 3),
        "1.1.bias": (30,),
        "2.weight": (4, 30),
        "2.bias": (4,),
    }


def test_a_model_that_is_the_layer_is_replaced() -> None:
    small = realized(nn.Linear(20, 10), Task("t", "weight", LowRank(2)), size=(20,))
    assert isinstance(small, nn.Sequential)
    assert shapes(small) == {"0.weight": (2, 20), "1.weight": (10, 2), "1.bias": (10,)}


GEOMETRIES: list[dict[str, Any]] = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": (3, 5), "padding": (2, 1), "stride": (1, 2), "dilation": (2, 1)},
    {"kernel_size": (5, 3), "padding": "same", "dilation": (1, 2), "bias": False},
    {"kernel_size": 3, "padding": (2, 1), "padding_mode": "reflect"},
    {"kernel_size": (3, 2), "padding": 1, "padding_mode": "circular", "stride": (2, 1)},
    {"kernel_size": 4, "padding": "valid"},
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("conv", ["channel", "spatial"])
def test_a_convolution_becomes_two_of_the_same_geometry(
    conv: str, geometry: dict[str, Any]
) -> None:
    layer = nn.Conv2d(6, 12, **geometry)
    small = realized(layer, Task("t", "weight", LowRank(2, conv)), size=(6, 13, 11))
    assert isinstance(small, nn.Sequential)
    first, second = small
    height, width = layer.kernel_size
    kernels = ((height, width), (1, 1)) if conv == "channel" else ((height, 1), (1, width))
    assert (first.kernel_size, second.kernel_size) == kernels
    assert (first.out_channels, second.in_channels) == (2, 2)
    assert first.bias is None
    assert (second.bias is None) == (layer.bias is None)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d])
def test_other_convolutions_factorize_by_channel(kind: type[nn.Conv1d | nn.Conv3d]) -> None:
    layer = kind(4, 9, 3, padding=1, stride=2)  # type: ignore[arg-type]
    size = (4, 7) if kind is nn.Conv1d else (4, 7, 6, 5)
    small = realized(layer, Task("t", "weight", LowRank(2)), size=size)
    assert isinstance(small, nn.Sequential)
    assert type(small[0]) is type(small[1]) is kind


def test_a_layer_cheaper_as_one_stays_the_decoded_one() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, bias=False))
    # 31 · 128 < 64², 32 · 128 = 64²
    assert set(shapes(realized(model, Task("t", "1.weight", LowRank(31))))) == {
        "1.0.weight",
        "1.1.weight",
    }
    decoded, plan, codes = direct(model, Plan([Task("t", "1.weight", LowRank(32))]))
    small = realize(decoded, plan, codes, images(1))
    assert torch.equal(small.get_parameter("1.weight"), decoded.get_parameter("1.weight"))


def test_a_spatial_pair_counts_its_wider_middle() -> None:
    # a stride of 2 halves the height before the second layer, the width only in it:
    # 1x3 -> rank 2 on (16·8 positions) costs more than its weights suggest
    layer = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    dense = 4 * 3 * 9 * 8 * 8
    for rank in (1, 2, 3, 4, 5):
        pair = rank * 3 * 3 * 8 * 16 + 4 * rank * 3 * 8 * 8
        task = Task("t", "weight", LowRank(rank, "spatial"))
        small = realized(layer, task, size=(3, 16, 16))
        assert isinstance(small, nn.Sequential) == (pair < dense), rank


def test_grouped_convolutions_stay_dense() -> None:
    small = realized(nn.Conv2d(8, 8, 3, groups=2), Task("t", "weight", LowRank(1)), size=(8, 6, 6))
    assert isinstance(small, nn.Conv2d)


def test_a_layer_used_twice_is_replaced_in_both_places() -> None:
    layer = nn.Linear(16, 16)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    small = realized(model, Task("t", "0.weight", LowRank(2)), size=(16,))
    assert isinstance(small, nn.Sequential)
    assert small[0] is small[2]
    assert isinstance(small[0], nn.Sequential)


class ReadsWeight(nn.Module):
    """Uses a layer's weight, not only its call."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(16, 16)
        self.b = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x)) * self.b.weight.mean()
        return out


def test_a_layer_whose_weight_is_read_stays_one() -> None:
    with pytest.warns(AutocompressWarning, match="^b: kept as one layer"):
        small = realized(ReadsWeight(), Task("t", "*.weight", LowRank(2)), size=(16,))
    assert isinstance(small, ReadsWeight)
    assert isinstance(small.a, nn.Sequential)
    assert isinstance(small.b, nn.Linear)


def test_quantized_factors_are_realized_and_sums_are_not() -> None:
    small = realized(
        Chain(),
        Task("a", "conv2.weight", Compose([LowRank(2), Codebook(4)])),
        Task("b", "fc1.weight", Additive([LowRank(2), Prune(0.01)])),
    )
    assert isinstance(small, Chain)
    assert isinstance(small.conv2, nn.Sequential)
    assert small.conv2[0].weight.unique().numel() <= 4
    assert isinstance(small.fc1, nn.Linear)


def test_thinning_goes_through_factorized_layers() -> None:
    small = realized(
        Chain(),
        Task("thin", ("conv1.weight", "conv2.weight"), StructurePrune(0.6)),
        Task("rank", "fc1.weight", LowRank(3)),
    )
    assert isinstance(small, Chain)
    first, second = small.fc1
    assert first.weight.shape == (3, 9 * small.conv2.out_channels)
    assert second.weight.shape == (20, 3)
    assert small.conv1.out_channels + small.conv2.out_channels == 8


@pytest.mark.parametrize("conv", ["channel", "spatial"])
def test_a_pair_that_thinning_made_dearer_becomes_one_layer_again(conv: str) -> None:
    # conv2 takes 6 channels: a pair of rank 6 is cheaper; with 2 of them left it no longer is
    small = realized(
        Chain(),
        Task("thin", "conv1.weight", StructurePrune(1 / 3)),
        Task("rank", "conv2.weight", LowRank(6, conv)),
        Task("rank fc", "fc1.weight", LowRank(12)),
    )
    assert isinstance(small, Chain)
    assert isinstance(small.conv2, nn.Conv2d)
    assert small.conv2.weight.shape == (8, 2, 3, 3)
    assert isinstance(small.fc1, nn.Sequential)


def test_layers_kept_dense_stay_beside_factored_ones() -> None:
    # full ranks are 8, 20 and 5
    small = realized(Chain(), Task("t", ("conv2.weight", "fc1.weight", "fc2.weight"), LowRank(5)))
    assert isinstance(small, Chain)
    assert isinstance(small.conv2, nn.Sequential)
    assert isinstance(small.fc1, nn.Sequential)
    assert isinstance(small.fc2, nn.Linear)


def test_a_layer_of_rank_zero_gives_its_bias() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 30))
    small = realized(model, Task("t", ("0.weight", "2.weight"), RankSelection(1e9)))
    assert isinstance(small, nn.Sequential)
    assert shapes(small)["2.1.weight"] == (30, 1)
    x = torch.randn(2, 1, 8, 8)
    assert torch.allclose(small(x), model[2].bias.expand(2, 30))


@pytest.mark.parametrize("conv", ["channel", "spatial"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_shares_and_budgets_of_flops_are_those_of_the_realized_model(
    share: float, conv: str
) -> None:
    size = (3, 13, 11)
    model = nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=2, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1)
    )
    names = ("0.weight", "2.weight")
    dense = count_flops(model, torch.zeros(1, *size))
    schemes = [LowRank(flops=share, conv=conv), GlobalRank(share, cost="flops", conv=conv)]
    for scheme in schemes:
        plan = Plan([Task("t", names, scheme)]).resolve(model, torch.zeros(1, *size))
        decoded, resolved, codes = direct(model, plan)
        small = realize(decoded, resolved, codes, torch.zeros(1, *size))
        flops = count_flops(small, torch.zeros(1, *size))
        assert 0.5 * share * dense < flops <= share * dense, scheme

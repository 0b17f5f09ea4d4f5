from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from autocompress.compression import Cast, Codebook, Compose, StructurePrune
from autocompress.compression.structured.structure import StructureCode
from autocompress.errors import AutocompressWarning
from autocompress.plan import Plan, Task
from autocompress.realize import realize
from autocompress.realize.thin import unfelt, zero_channels
from tests.realize.networks import Chain, Normed, Residual, direct, images, mlp


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def prune(params: tuple[str, ...], density: float = 0.5) -> Plan:
    return Plan([Task("channels", params, StructurePrune(density))])


def thinned(model: nn.Module, plan: Plan) -> tuple[nn.Module, nn.Module, StructureCode]:
    """Compress, realize, check that both compute the same; return decoded, realized, code."""
    decoded, resolved, codes = direct(model, plan)
    before = copy.deepcopy(decoded.state_dict())
    example = torch.zeros(1, 1, 8, 8)
    small = realize(decoded, resolved, codes, example)
    x = images()
    torch.testing.assert_close(small(x), decoded(x), rtol=1e-5, atol=1e-5)
    for name, tensor in decoded.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    code = codes["channels"]
    assert isinstance(code, StructureCode)
    return decoded, small, code


def kept(code: StructureCode) -> list[int]:
    return [channels.numel() for channels in code.kept]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
def test_every_pruned_channel_of_a_chain_is_gone(activation: type[nn.Module]) -> None:
    plan = prune(("*.weight", "!fc2.weight"))
    _, small, code = thinned(Chain(activation), plan)
    a, b, c = kept(code)
    assert a < 6
    assert b < 8
    assert c < 20
    shapes = {name: tuple(p.shape) for name, p in small.named_parameters()}
    assert shapes == {
        "conv1.weight": (a, 1, 3, 3),
        "conv1.bias": (a,),
        "conv2.weight": (b, a, 3, 3),
        "conv2.bias": (b,),
        "fc1.weight": (c, 9 * b),
        "fc1.bias": (c,),
        "fc2.weight": (5, c),
        "fc2.bias": (5,),
    }


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_neurons_of_a_fully_connected_net_are_gone(activation: type[nn.Module]) -> None:
    _, small, code = thinned(mlp(activation), prune(("1.weight", "3.weight"), 0.2))
    first, second = kept(code)
    assert first + second == 10
    assert isinstance(small, nn.Sequential)
    assert [tuple(small[i].weight.shape) for i in (1, 3, 5)] == [
        (first, 64),
        (second, first),
        (5, second),
    ]


def test_batch_norm_goes_with_its_convolution() -> None:
    _, small, code = thinned(Normed(), prune(("conv*.weight",)))
    a, b = kept(code)
    assert isinstance(small, Normed)
    assert (small.bn1.num_features, small.bn2.num_features) == (a, b)
    assert small.bn1.running_mean is not None
    assert small.bn1.running_mean.shape == (a,)
    assert small.conv2.weight.shape == (b, a, 3, 3)
    assert small.head.weight.shape == (5, b)


def test_a_residual_addition_loses_only_channels_zero_on_both_sides() -> None:
    model = Residual()
    with torch.no_grad():  # stem keeps 0..3, conv2 keeps 2..5, conv1 keeps 0..2
        for layer, strong in (
            (model.stem, range(4)),
            (model.conv2, range(2, 6)),
            (model.conv1, range(3)),
        ):
            layer.weight[list(strong)] *= 100
    _, small, code = thinned(model, prune(("stem.weight", "conv*.weight"), 11 / 22))
    assert [channels.tolist() for channels in code.kept] == [[0, 1, 2, 3], [0, 1, 2], [2, 3, 4, 5]]
    assert isinstance(small, Residual)
    # channels 6 and 7 are zero in both; 4, 5 only in the stem and 0, 1 only in conv2
    assert small.stem.weight.shape == (6, 1, 3, 3)
    assert small.conv1.weight.shape == (3, 6, 3, 3)
    assert small.conv2.weight.shape == (6, 3, 3, 3)
    assert small.head.weight.shape == (5, 6)


def test_a_channel_added_to_an_unpruned_layer_stays() -> None:
    _, small, code = thinned(Residual(), prune(("stem.weight", "conv1.weight")))
    assert isinstance(small, Residual)
    assert small.stem.weight.shape[0] == 8
    assert small.conv1.weight.shape[0] == kept(code)[1] < 6


class Concatenated(nn.Module):
    """Two branches side by side, then a convolution over both."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 4, 3)
        self.right = nn.Conv2d(1, 6, 3)
        self.both = nn.Conv2d(10, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(torch.cat([self.left(x), self.right(x)], 1))
        out: Tensor = self.head(self.both(x).amax((2, 3)))
        return out


def test_concatenated_branches_are_thinned_each() -> None:
    _, small, code = thinned(Concatenated(), prune(("left.weight", "right.weight", "both.weight")))
    assert isinstance(small, Concatenated)
    a, b, c = kept(code)
    assert small.both.weight.shape == (c, a + b, 3, 3)


class Depthwise(nn.Module):
    """A depthwise convolution between two others."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.conv2 = nn.Conv2d(8, 8, 3, groups=groups)
        self.conv3 = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(
            torch.relu(self.conv3(torch.relu(self.conv2(self.conv1(x))))).amax((2, 3))
        )
        return out


def test_depthwise_channels_go_when_zero_before_and_after() -> None:
    _, small, code = thinned(Depthwise(groups=8), prune(("conv*.weight",)))
    assert isinstance(small, Depthwise)
    both = set(code.kept[0].tolist()) | set(code.kept[1].tolist())
    assert len(both) < 8
    assert small.conv2.weight.shape == (len(both), 1, 3, 3)
    assert small.conv1.weight.shape[0] == small.conv2.groups == len(both)


def test_grouped_convolutions_stay_and_the_rest_is_thinned() -> None:
    _, small, code = thinned(Depthwise(groups=2), prune(("conv*.weight",)))
    assert isinstance(small, Depthwise)
    assert small.conv1.weight.shape[0] == small.conv2.weight.shape[0] == 8
    assert small.conv3.weight.shape == (kept(code)[2], 8, 1, 1)


def test_an_activation_that_is_not_zero_at_zero_keeps_its_channels() -> None:
    with pytest.warns(AutocompressWarning, match="1, 3: kept with zero channels") as caught:
        _, small, _ = thinned(mlp(nn.Sigmoid), prune(("1.weight", "3.weight")))
    assert len(caught) == 1
    assert isinstance(small, nn.Sequential)
    assert small[1].out_features == 30


def test_layers_that_can_be_thinned_are_when_another_cannot() -> None:
    model = mlp(nn.ReLU)
    model[2] = nn.Sigmoid()
    with pytest.warns(AutocompressWarning, match="^1: kept"):
        _, small, code = thinned(model, prune(("1.weight", "3.weight")))
    assert isinstance(small, nn.Sequential)
    assert small[3].weight.shape == (kept(code)[1], 30)


class FixedView(nn.Module):
    """Flattens with its size written down, as in many tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc1 = nn.Linear(144, 10)
        self.fc2 = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x)).view(-1, 144)
        out: Tensor = self.fc2(torch.relu(self.fc1(x)))
        return out


def test_a_forward_that_relies_on_a_size_keeps_it() -> None:
    with pytest.warns(AutocompressWarning, match="^conv: kept"):
        _, small, code = thinned(FixedView(), prune(("conv.weight", "fc1.weight")))
    assert isinstance(small, FixedView)
    assert small.conv.out_channels == 4
    assert small.fc1.out_features == kept(code)[1] < 10


def test_the_rest_of_the_code_may_be_anything() -> None:
    scheme = Compose([StructurePrune(0.5), Codebook(4), Cast("float16")])
    decoded, resolved, codes = direct(Chain(), Plan([Task("t", "conv*.weight", scheme)]))
    small = realize(decoded, resolved, codes, images(1))
    x = images()
    torch.testing.assert_close(small(x), decoded(x), rtol=1e-5, atol=1e-5)
    assert isinstance(small, Chain)
    assert small.conv1.weight.shape[0] + small.conv2.weight.shape[0] == 7


def test_frozen_parameters_and_the_callers_grad_mode_stay_as_they_are() -> None:
    model = Chain()
    model.fc2.weight.requires_grad_(False)
    decoded, resolved, codes = direct(model, prune(("conv*.weight", "fc1.weight")))
    example = images(1)
    with torch.inference_mode():
        small = realize(decoded, resolved, codes, example)
        assert torch.is_inference_mode_enabled()
    assert {n for n, p in small.named_parameters() if not p.requires_grad} == {"fc2.weight"}
    assert {n for n, p in decoded.named_parameters() if not p.requires_grad} == {"fc2.weight"}


def test_an_unused_layer_is_left_alone() -> None:
    model = Chain()
    model.spare = nn.Conv2d(1, 4, 3)
    model.last = nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, small, code = thinned(model, prune(("conv1.weight", "spare.weight")))
    assert isinstance(small, Chain)
    assert small.conv1.weight.shape[0] == kept(code)[0]
    assert small.spare.weight.shape[0] == 4


def test_codes_are_not_changed() -> None:
    decoded, resolved, codes = direct(Chain(), prune(("conv*.weight",)))
    before = [tensor.clone() for tensor in codes["channels"].decode()]
    realize(decoded, resolved, codes, images(1))
    for now, then in zip(codes["channels"].decode(), before, strict=True):
        assert torch.equal(now, then)


def test_layers_nothing_feels_are_found_without_thinning() -> None:
    model = mlp(nn.ReLU)
    model[2] = nn.Sigmoid()
    decoded, resolved, codes = direct(model, prune(("1.weight", "3.weight")))
    x = images()
    expected = decoded(x)
    trial = copy.deepcopy(decoded)
    found = unfelt(
        trial,
        zero_channels(decoded, resolved, codes),
        images(1),
        lambda module: torch.allclose(module(x), expected),
    )
    assert found == ["3"]
    assert torch.equal(trial(x), expected)  # what was tried is undone

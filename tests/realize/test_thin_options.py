"""What is removed when channels are pruned together, aligned, by inputs, or without biases."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from autocompress import models
from autocompress.compression import Code, Prune, StructurePrune
from autocompress.plan import Plan, Task
from autocompress.realize import realize
from tests.realize.networks import Chain, Normed, Residual


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def realized(
    model: nn.Module, scheme: StructurePrune, params: tuple[str, ...], x: Tensor
) -> tuple[nn.Module, Code]:
    """Compress, realize, and check that the realized module computes the same."""
    decoded = copy.deepcopy(model).eval()
    plan = Plan([Task("channels", params, scheme)]).resolve(decoded, x)
    (task,) = plan.tasks
    weights = tuple(decoded.get_parameter(name) for name in task.params)
    code = task.compression.project(weights, mu=1.0)
    for weight, value in zip(weights, code.decode(), strict=True):
        weight.data = value
    small = realize(decoded, plan, {"channels": code}, x)
    with torch.no_grad():
        torch.testing.assert_close(small(x), decoded(x), rtol=1e-4, atol=1e-4)
    return small, code


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in model.parameters() if p.dim() > 1]


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def images() -> Tensor:
    return torch.randn(5, 1, 8, 8)


def resnet() -> nn.Module:
    model = models.build("resnet20", input_shape=(3, 16, 16), classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
            assert module.running_mean is not None
            module.running_mean.normal_()
    return model


def test_a_resnet_pruned_layer_by_layer_is_half_as_wide() -> None:
    params = ("*.weight", "!fc.weight")
    model, scheme = resnet(), StructurePrune(0.5, scope="layer")
    small, _ = realized(model, scheme, params, torch.randn(2, 3, 16, 16))
    expected = [
        tuple(n if n in (3, 1, 10) else n // 2 for n in shape[:2]) + shape[2:]
        for shape in shapes(model)
    ]
    assert shapes(small) == expected
    assert 3.5 < count(model) / count(small) < 4.1


def test_a_resnet_pruned_jointly_loses_every_pruned_channel() -> None:
    params = ("*.weight", "!fc.weight")
    model, scheme = resnet(), StructurePrune(0.4, norm="mean", align=4)
    small, code = realized(model, scheme, params, torch.randn(2, 3, 16, 16))
    kept = [k.numel() for k in code.kept]  # type: ignore[attr-defined]
    assert [shape[0] for shape in shapes(small)[:-1]] == kept
    assert all(number % 4 == 0 for number in kept)
    widths = {shape[0] for shape in shapes(small)[:-1]}
    assert widths != {16, 32, 64}
    assert count(small) < 0.4 * count(model)


def test_both_sides_of_an_addition_lose_the_same_channels() -> None:
    params = ("stem.weight", "conv*.weight")
    small, code = realized(Residual(), StructurePrune(0.5, scope="layer"), params, images())
    assert [k.numel() for k in code.kept] == [4, 3, 4]  # type: ignore[attr-defined]
    assert shapes(small) == [(4, 1, 3, 3), (3, 4, 3, 3), (4, 3, 3, 3), (5, 4)]


class Branches(nn.Module):
    """A depthwise block with batch norms, concatenated with another branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, groups=8)
        self.deep_norm = nn.BatchNorm2d(8)
        self.side = nn.Conv2d(1, 6, 5)
        self.last = nn.Conv2d(14, 10, 1)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        deep = torch.relu(self.deep_norm(self.deep(torch.relu(self.norm(self.first(x))))))
        joined = torch.cat([deep, torch.relu(self.side(x))], 1)
        out: Tensor = self.head(torch.relu(self.last(joined)).mean((2, 3)))
        return out


def test_a_depthwise_convolution_follows_its_producer_and_concatenations_shift() -> None:
    params = ("*.weight", "!head.weight")
    small, _ = realized(Branches(), StructurePrune(0.5, scope="layer"), params, images())
    assert shapes(small) == [
        (4, 1, 3, 3), (4, 1, 3, 3), (3, 1, 5, 5), (5, 7, 1, 1), (3, 5),
    ]  # fmt: skip
    assert isinstance(small, Branches)
    assert small.deep.groups == small.norm.num_features == 4


def test_unread_channels_go_with_what_made_them() -> None:
    model = Chain()
    scheme = StructurePrune(0.5, groups="inputs", scope="layer")
    small, _ = realized(model, scheme, ("conv2.weight", "fc2.weight"), images())
    assert shapes(small) == [(3, 1, 3, 3), (8, 3, 3, 3), (10, 72), (5, 10)]


def test_a_flattened_channel_goes_when_all_its_pixels_are_unread() -> None:
    model = Chain()
    with torch.no_grad():
        model.fc1.weight[:, :36] *= 1e-3  # the first 4 of 8 channels, 9 pixels each
    small, _ = realized(model, StructurePrune(0.5, groups="inputs"), ("fc1.weight",), images())
    assert shapes(small) == [(6, 1, 3, 3), (4, 6, 3, 3), (20, 36), (5, 20)]


def test_a_channel_that_another_layer_reads_stays() -> None:
    model = Residual()
    scheme = StructurePrune(0.5, groups="inputs")
    small, _ = realized(model, scheme, ("conv1.weight",), images())
    assert shapes(small) == shapes(model)  # the head and the addition go on reading the stem
    both, _ = realized(model, scheme, ("conv2.weight",), images())
    assert shapes(both)[1] == (3, 8, 3, 3)


def test_batch_norm_goes_with_unread_channels() -> None:
    scheme = StructurePrune(0.5, groups="inputs", scope="layer")
    small, _ = realized(Normed(), scheme, ("conv2.weight", "head.weight"), images())
    assert isinstance(small, Normed)
    assert (small.bn1.num_features, small.bn2.num_features) == (3, 4)


def test_channels_whose_bias_stays_are_not_removed() -> None:
    model = Normed()
    small, _ = realized(model, StructurePrune(0.5, biases=False), ("conv*.weight",), images())
    assert shapes(small) == shapes(model)


def test_channels_whose_biases_are_zero_anyway_are_removed() -> None:
    model = Chain()
    nn.init.zeros_(model.conv1.bias)  # type: ignore[arg-type]
    scheme = StructurePrune(0.5, biases=False)
    small, _ = realized(model, scheme, ("conv1.weight",), images())
    assert shapes(small)[0] == (3, 1, 3, 3)


def test_columns_that_other_schemes_leave_zero_change_nothing() -> None:
    model = Chain().eval()
    plan = Plan([Task("p", "fc2.weight", Prune(0.01))]).resolve(model, images())
    weights = (model.fc2.weight,)
    code = plan.tasks[0].compression.project(weights, mu=1.0)
    model.fc2.weight.data = code.decode()[0]
    assert shapes(realize(model, plan, {"p": code}, images())) == shapes(model)

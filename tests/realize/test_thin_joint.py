"""What is removed where layers after a concatenation or an addition have channels of several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import autocompress as ac
from autocompress.compression import Compression, StructurePrune
from autocompress.compression.structured.structure import StructureCode
from autocompress.plan import Plan, Task
from autocompress.realize import realize


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class Grow(nn.Module):
    """A dense layer of DenseNet: norm, activation, convolution, twice; its input comes along."""

    def __init__(self, inputs: int, middle: int = 6, new: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, new, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu2(self.norm2(y)))], 1)


def densenet() -> nn.Sequential:
    """Return two dense blocks, a transition between them."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        *(Grow(8), Grow(12), Grow(16)),
        nn.Sequential(
            nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 10, 1, bias=False), nn.AvgPool2d(2)
        ),
        *(Grow(10), Grow(14)),
        nn.Sequential(nn.BatchNorm2d(18), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(18, 5),
    )


class Inception(nn.Module):
    """Three branches, concatenated; a depthwise convolution with its norm reads them all."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, 1)
        self.three = nn.Sequential(
            nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 10, 3, padding=1), nn.BatchNorm2d(10)
        )
        self.pooled = nn.Conv2d(3, 4, 1)
        self.deep = nn.Conv2d(22, 22, 3, padding=1, groups=22)
        self.norm = nn.BatchNorm2d(22)
        self.last = nn.Conv2d(22, 12, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled(functional.max_pool2d(x, 3, stride=1, padding=1))
        joined = torch.relu(torch.cat([self.one(x), self.three(x), pooled], 1))
        deep = torch.relu(self.norm(self.deep(joined)))
        out: Tensor = self.head(torch.relu(self.last(deep)).mean((2, 3)))
        return out


class PreActivation(nn.Module):
    """A stream that two blocks are added to; each begins with a norm of the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
            for _ in range(2)
        )
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.head(torch.relu(self.norm(x)).mean((2, 3)))
        return out


def with_statistics(model: nn.Module) -> nn.Module:
    """Give batch norms scales, shifts and statistics that are not those of fresh ones."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.normal_()
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


def compressed(model: nn.Module, plan: Plan, x: Tensor) -> ac.Compressed:
    """Return the directly compressed model; ``model`` gets its weights."""
    resolved = plan.resolve(model, x)
    codes = {}
    for task in resolved.tasks:
        weights = tuple(model.get_parameter(name) for name in task.params)
        codes[task.name] = task.compression.project(weights, mu=1.0)
        for weight, value in zip(weights, codes[task.name].decode(), strict=True):
            weight.data = value
    return ac.Compressed(model, codes, resolved, ac.LC(), [], "finished", 0, x[:1])


def everything(model: nn.Module, scheme: Compression) -> Plan:
    """Return a plan for all layers but the last."""
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    return Plan([Task("channels", ("*.weight", f"!{last}.weight"), scheme)])


def widths(model: nn.Module) -> dict[str, int]:
    """Return the number of output channels of convolutions and norms."""
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    found = {n: m.weight for n, m in model.named_modules() if isinstance(m, kinds)}
    return {name: int(weight.shape[0]) for name, weight in found.items()}


@pytest.mark.parametrize("scheme", [
    StructurePrune(0.5, scope="layer"), StructurePrune(0.4),
    StructurePrune(0.5, norm="l1", align=2),
    ac.Compose([StructurePrune(0.5), ac.Codebook(8)]),
])  # fmt: skip
@pytest.mark.parametrize("make", [densenet, Inception, PreActivation])
def test_every_pruned_channel_is_gone(
    make: type[nn.Module], scheme: Compression, tmp_path: Path
) -> None:
    x = torch.randn(4, 3, 12, 12)
    model = with_statistics(make())
    result = compressed(model, everything(model, scheme), x)
    small = result.realize()
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), rtol=1e-5, atol=1e-5)
    code = result.codes["channels"]
    assert isinstance(code, StructureCode)
    (task,) = result.plan.tasks
    kept = {
        name.removesuffix(".weight"): channels.numel()
        for name, channels in zip(task.params, code.channels(), strict=True)
        if name.endswith("weight")
    }
    assert widths(small) == {name: kept[name] for name in widths(model)}
    assert sum(kept.values()) < 0.75 * sum(widths(model).values())

    result.save(tmp_path / "model.acz")
    again = ac.load(tmp_path / "model.acz", make())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    with torch.no_grad():
        torch.testing.assert_close(again.realize(x[:1])(x), model(x), rtol=1e-5, atol=1e-5)
    assert widths(again.realize(x[:1])) == widths(small)


def test_slices_of_norms_and_depthwise_filters_go_with_their_maker() -> None:
    x, model = torch.randn(2, 3, 12, 12), with_statistics(Inception())
    code = compressed(model, everything(model, StructurePrune(0.5)), x).codes["channels"]
    assert isinstance(code, StructureCode)
    one, _, three, pooled, deep, _ = (channels.tolist() for channels in code.kept)
    assert deep == [*one, *(8 + c for c in three), *(18 + c for c in pooled)]
    assert isinstance(model, Inception)
    assert torch.nonzero(model.norm.bias).flatten().tolist() == deep


def test_channels_of_a_layer_outside_the_task_stay_in_the_norms() -> None:
    x, model = torch.randn(2, 3, 12, 12), with_statistics(densenet())
    scheme = StructurePrune(0.5, scope="layer")
    plan = Plan([Task("channels", ("*.weight", "!0.weight", "!*10.weight"), scheme)])
    result = compressed(model, plan, x)
    small = result.realize()
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), rtol=1e-5, atol=1e-5)
    found = widths(small)
    assert (found["0"], found["3.norm1"], found["4.norm1"], found["5.norm1"]) == (8, 8, 10, 12)


def test_norms_of_two_tasks_leave_the_function_as_it_is() -> None:
    x, model = torch.randn(2, 3, 12, 12), with_statistics(densenet())
    tasks = [
        Task("a", ("0.weight", "3.*"), StructurePrune(0.5)),
        Task("b", "4.*", StructurePrune(0.5)),
    ]
    result = compressed(model, Plan(tasks), x)
    with torch.no_grad(), pytest.warns(ac.errors.AutocompressWarning, match="kept with zero"):
        torch.testing.assert_close(
            realize(model, result.plan, result.codes, x)(x), model(x), rtol=1e-5, atol=1e-5
        )

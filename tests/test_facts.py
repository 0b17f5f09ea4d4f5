from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from autocompress import models
from autocompress.compression import StructurePrune
from autocompress.errors import ModelError
from autocompress.facts import find_facts
from autocompress.plan import Plan, Task
from tests.realize.networks import Chain, Residual


def ties(model: nn.Module, example: Tensor) -> set[tuple[frozenset[str], int]]:
    """Return the layers of each tie and how many are said to be in it."""
    found: dict[int, set[str]] = {}
    sizes: dict[int, int] = {}
    for name, fact in find_facts(model, example, {"tie"}).items():
        for span in fact.ties:
            found.setdefault(span.tie, set()).add(name.removesuffix(".weight"))
            sizes[span.tie] = span.members
    return {(frozenset(names), sizes[tie]) for tie, names in found.items()}


def image() -> Tensor:
    return torch.zeros(2, 1, 8, 8)


def test_a_chain_has_no_ties() -> None:
    assert ties(Chain(), image()) == set()


def test_layers_added_to_each_other_are_tied() -> None:
    assert ties(Residual(), image()) == {(frozenset({"stem", "conv2"}), 2)}


def test_the_streams_of_a_resnet_are_tied_each() -> None:
    model = models.build("resnet20", input_shape=(3, 32, 32), classes=10)
    streams = [
        {"conv1", *(f"stage1.{i}.conv2" for i in range(3))},
        {"stage2.0.shortcut.0", *(f"stage2.{i}.conv2" for i in range(3))},
        {"stage3.0.shortcut.0", *(f"stage3.{i}.conv2" for i in range(3))},
    ]
    assert ties(model, torch.zeros(1, 3, 32, 32)) == {(frozenset(s), 4) for s in streams}


class Mixed(nn.Module):
    """A depthwise convolution, a gate, a concatenation, and an addition to the concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.deep = nn.Conv2d(4, 4, 3, groups=4)
        self.gate = nn.Conv2d(4, 4, 1)
        self.side = nn.Conv2d(1, 2, 5)
        self.both = nn.Conv2d(1, 6, 5)
        self.halves = nn.Conv2d(6, 6, 1, groups=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.deep(torch.relu(self.norm(self.conv(x))))
        gated = deep * torch.sigmoid(self.gate(deep.mean((2, 3), keepdim=True)))
        joined = torch.cat([gated, self.side(x)], 1) + self.both(x)
        out: Tensor = self.head(self.halves(torch.relu(joined)).mean((2, 3)))
        return out


def test_what_is_added_to_a_concatenation_is_tied_to_each_part_of_it() -> None:
    assert ties(Mixed(), image()) == {
        (frozenset({"conv", "deep", "gate", "both"}), 4),
        (frozenset({"side", "both"}), 2),
        (frozenset({"halves"}), 2),  # its groups keep it from losing channels
    }
    spans = find_facts(Mixed(), image(), {"tie"})["both.weight"].ties
    assert [(span.start, span.stop) for span in spans] == [(0, 4), (4, 6)]


class Dense(nn.Module):
    """Two layers whose outputs are concatenated with their inputs, a batch norm after each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.grow = nn.Conv2d(4, 2, 3, padding=1)
        self.last = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        grown = self.grow(torch.relu(self.norm1(y)))
        out: Tensor = self.last(torch.cat([self.first(x, y), grown], 1)).mean((2, 3))
        return out

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what is concatenated with what is new."""
        return y


class WithInput(Dense):
    """The model's input is concatenated too."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(7), nn.Conv2d(7, 3, 1))

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], 1)


def test_a_norm_after_a_concatenation_has_a_part_for_each_layer() -> None:
    facts = find_facts(Dense(), image(), {"tie"})
    parts = [(span.start, span.stop, span.members) for span in facts["last.1.weight"].ties]
    assert parts == [(0, 4, 3), (4, 6, 3)]
    assert facts["last.1.weight"] == facts["last.1.bias"]
    assert facts["last.1.bias"].joint
    assert "norm1.weight" not in facts  # it follows the stem alone


def test_a_norm_whose_channels_the_graph_miscounts_is_left_alone() -> None:
    facts = find_facts(WithInput(), image(), {"tie"})
    assert "last.1.weight" not in facts
    for name, width in (("stem", 4), ("grow", 2)):
        (span,) = facts[f"{name}.weight"].ties
        assert (span.start, span.stop, span.members) == (0, width, 2)
    assert not facts["last.2.weight"].ties


def test_a_norm_of_pixels_is_tied_to_no_channels() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.pause = nn.Identity()
            self.norm = nn.BatchNorm1d(144)
            self.head = nn.Linear(144, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.norm(self.conv(x).flatten(1)))
            return out

    facts = find_facts(Flat(), image(), {"tie"})
    assert [(s.start, s.stop, s.members) for s in facts["conv.weight"].ties] == [(0, 4, 2)]
    assert "norm.weight" not in facts


def test_a_plan_takes_in_the_norms_of_its_tasks_channels() -> None:
    model, scheme = Dense(), StructurePrune(0.5)
    plan = Plan([Task("s", ("stem.weight", "grow.weight"), scheme)])
    bound = plan.resolve(model, image())
    (task,) = bound.tasks
    own = ("stem.weight", "stem.bias", "norm1.weight", "norm1.bias", "grow.weight", "grow.bias")
    assert task.params == (*own, "last.1.weight", "last.1.bias")
    assert task.compression.joined == (6, 7)
    assert bound.resolve(model) == bound.resolve(model, image()) == bound
    assert Plan.from_dict(bound.to_dict()) == bound
    assert bound.unbound().tasks[0].params == own
    assert bound.digest(model) == plan.digest(model)
    assert not bound.remarks(model)
    (whole,) = (
        Plan([Task("s", own[::4], StructurePrune(0.5, biases=False))]).resolve(model, image()).tasks
    )
    assert whole.params == own


def test_a_norm_is_in_the_first_task_that_has_some_of_its_channels() -> None:
    scheme = StructurePrune(0.5)
    plan = Plan([Task("a", "stem.weight", scheme), Task("b", "grow.weight", scheme)])
    first, second = plan.resolve(Dense(), image()).tasks
    assert first.params[-2:] == ("last.1.weight", "last.1.bias")
    assert second.params == ("grow.weight", "grow.bias")
    assert second.compression == StructurePrune(0.5, ties=((-1, 0),))


def test_concatenation_alone_ties_nothing() -> None:
    class Side(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(torch.cat([self.a(x), self.b(x)], 1).mean((2, 3)))
            return out

    assert ties(Side(), image()) == set()


def test_the_model_is_left_as_it_was() -> None:
    model = Residual().train()
    model.head.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        assert ties(model, image())
    assert model.training
    assert not model.head.weight.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_a_model_that_does_not_run_is_an_error() -> None:
    with pytest.raises(ModelError, match="cannot run"):
        find_facts(Chain(), torch.zeros(1, 3, 8, 8), {"tie"})


def test_a_graph_that_cannot_be_traced_has_no_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(model: nn.Module, example: Tensor) -> None:
        raise RuntimeError("an operation without a name")

    monkeypatch.setattr("autocompress.graph.trace", give_up)
    assert ties(Residual(), image()) == set()


def test_a_plan_told_of_the_model_ties_its_tasks_layers() -> None:
    scheme = StructurePrune(0.5)
    plan = Plan([Task("s", ("stem.weight", "conv2.weight"), scheme)])
    (task,) = plan.resolve(Residual(), image()).tasks
    assert task.compression == StructurePrune(0.5, ties=((0, 2),))  # 1 is the stem's bias
    assert Plan([task]).resolve(Residual()).tasks[0].compression == task.compression
    assert plan.digest(Residual()) == Plan([task]).digest(Residual())
    (alone,) = Plan([Task("s", "stem.weight", scheme)]).resolve(Residual(), image()).tasks
    assert alone.compression == StructurePrune(0.5, ties=((-1, 0),))
    assert "outside the task" in Plan([alone]).remarks(Residual())[0]

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Tensor, nn

from autocompress import compression as c
from autocompress.compression.base import Code, Tensors
from autocompress.metrics.size import SizeReport, condensa_bytes, delta_bits, lc_bits, size_report
from autocompress.plan import Plan, Task
from autocompress.storage import PackedModel, pack


def dense(*sizes: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(i, o) for i, o in pairwise(sizes)))


def lenet5() -> nn.Module:
    """The shapes of Caffe's LeNet-5: 430,500 weights and 580 biases."""
    torch.manual_seed(0)
    convs = [nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)]
    return nn.Sequential(*convs, nn.Linear(800, 500), nn.Linear(500, 10))


def packed(model: nn.Module, **tasks: tuple[str, c.Compression]) -> PackedModel:
    plan = Plan([Task(name, pattern, scheme) for name, (pattern, scheme) in tasks.items()])
    plan = plan.resolve(model)
    rest = dict(model.state_dict())
    codes = {
        task.name: task.compression.project(tuple(rest.pop(n) for n in task.params), mu=0.0)
        for task in plan.tasks
    }
    return PackedModel(plan, codes, rest)


def report(model: nn.Module, **tasks: tuple[str, c.Compression]) -> SizeReport:
    reference = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return size_report(packed(model, **tasks), reference)


def test_by_hand() -> None:
    """A 4 x 4 weight with survivors at 0, 5 and 15, and a bias of which one is zero."""
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.zero_()
        model.weight.view(-1)[torch.tensor([0, 5, 15])] = torch.tensor([3.0, -2.0, 1.0])
        model.bias.copy_(torch.tensor([1.0, 0.0, 2.0, 3.0]))
    given = packed(model, all=("weight", c.Prune(3 / 16)))
    size = size_report(given, reference_bytes=80)
    assert (size.weights, size.nonzeros, size.nonzero_ratio) == (16, 3, 16 / 3)
    assert size.condensa_bytes == 4 * (3 + 3)
    assert size.condensa_ratio == 80 / 24
    # gaps 0, 4, 9: 1 + 1 + 2 words of 3 bits, or 3 words of 4 bits, are both 12 bits
    assert size.lc_bytes == 4 * (3 + 4) + 2
    assert size.lc_ratio == 80 / 30
    assert size.bytes == len(pack(given))
    assert size.ratio == 80 / size.bytes
    # in Rice code the gaps take 9 bits of quotients and 3 of remainders, each rounded up to bytes
    assert size.bytes - size.header_bytes == 4 * (3 + 4) + 3
    assert size.reference_bytes == 80


@pytest.mark.parametrize(
    ("positions", "bits"),
    [
        ([], 0),
        ([0], 1),
        ([1], 2),  # one word of 2 bits, or two of 1
        ([6], 3),  # 6 < 2^3 - 1
        ([7], 4),
        ([0, 1, 2, 3], 4),
        ([100], 7),
        ([0, 5, 15], 12),
        (list(range(10, 220, 11)), 80),  # 20 gaps of 10, 4 bits each
    ],
)
def test_delta_bits(positions: list[int], bits: int) -> None:
    assert delta_bits(torch.tensor(positions, dtype=torch.int64)) == bits


def test_delta_bits_is_the_best_width_of_a_slow_count() -> None:
    index = torch.arange(5000)[torch.rand(5000, generator=torch.manual_seed(1)) < 0.02]
    gaps = [b - a - 1 for a, b in pairwise([-1, *index.tolist()])]

    def words(gap: int, width: int) -> int:
        count = 1
        while gap >= 2**width - 1:
            gap, count = gap - (2**width - 1), count + 1
        return count

    slow = min(width * sum(words(gap, width) for gap in gaps) for width in range(1, 21))
    assert delta_bits(index) == slow


def test_lc_toolkit_s_16x_for_five_per_cent_of_lenet300() -> None:
    size = report(dense(784, 300, 100, 10), all=("*.weight", c.Prune(0.05)))
    assert size.weights == 266_200
    assert size.nonzeros == 13_310
    assert size.nonzero_ratio == 20.0
    assert size.lc_ratio == pytest.approx(16, abs=0.5)


@pytest.mark.parametrize(("k", "ratio"), [(2, 30.5), (4, 15.6), (16, 7.9)])
def test_lc_quantization_ratios_of_lenet300(k: int, ratio: float) -> None:
    model = dense(784, 300, 100, 10)
    scheme = c.Codebook(k)
    size = report(
        model, one=("0.weight", scheme), two=("1.weight", scheme), three=("2.weight", scheme)
    )
    assert size.lc_ratio == pytest.approx(ratio, abs=0.06)
    # what is really on disk is that and a header
    assert size.bytes - size.header_bytes == pytest.approx(size.lc_bytes, abs=4)


@pytest.mark.parametrize(("k", "ratio"), [(2, 30.7), (4, 15.7)])
def test_lc_quantization_ratios_of_lenet5(k: int, ratio: float) -> None:
    tasks = {f"layer{i}": (f"{i}.weight", c.Codebook(k)) for i in range(4)}
    assert report(lenet5(), **tasks).lc_ratio == pytest.approx(ratio, abs=0.06)


def test_condensa_s_239x_for_lenet5() -> None:
    """Their float16 cast takes whole layers, so that biases count two bytes as well."""
    weights = ("*.weight", c.Compose([c.Prune(0.007), c.Cast("float16")]))
    size = report(lenet5(), weights=weights, biases=("*.bias", c.Cast("float16")))
    assert size.weights == 430_500
    assert size.condensa_ratio == pytest.approx(239.9, abs=0.05)
    # with positions, which one has to store, there is much less of it
    assert 140 < size.lc_ratio < 190
    assert 140 < size.ratio < 190
    # biases left alone count four bytes each
    alone = report(lenet5(), weights=weights)
    assert alone.condensa_bytes == size.condensa_bytes + 2 * 580


def test_low_rank_counts_factors() -> None:
    size = report(dense(30, 20), all=("0.weight", c.LowRank(3)))
    assert size.nonzeros == size.weights == 600
    assert size.condensa_bytes == size.lc_bytes == 4 * (3 * (30 + 20) + 20)


def test_structure_counts_what_is_left() -> None:
    model = dense(30, 20, 10)
    size = report(model, all=("0.weight", c.StructurePrune(0.25)))
    assert size.nonzeros == 5 * 30 + 200
    assert size.condensa_bytes == 4 * (5 * 31 + 210)
    assert size.lc_bytes == 4 * (5 * 31 + 210) + 3  # one bit a neuron


def test_codebook_counts_every_weight_that_is_not_zero() -> None:
    weight = torch.tensor([[0.0, 0.0, 1.0, 2.0, 2.0, 0.0]])
    for scheme, width in ((c.Codebook(3), 4), (c.Compose([c.Codebook(3), c.Cast("float16")]), 2)):
        code = scheme.project((weight,), mu=0.0)
        assert condensa_bytes(code) == 3 * width
        assert lc_bits(code) == 6 * 2 + 3 * 8 * width


def test_levels_and_numbers_of_8_bits() -> None:
    weights = (torch.tensor([[0.0, 1.0, -3.0, 2.0, 0.1]]),)
    levels = c.Uniform(3, scale="minmax").project(weights, mu=0.0)
    assert condensa_bytes(levels) == -(-3 * 3 // 8) + 4  # three levels that are not zero, a scale
    assert lc_bits(levels) == 5 * 3 + 32
    cast = c.Cast("float8_e4m3fn").project(weights, mu=0.0)
    assert (condensa_bytes(cast), lc_bits(cast)) == (4, 40)


def test_additive_adds_its_terms() -> None:
    torch.manual_seed(0)
    code = c.Additive([c.Codebook(2), c.Prune(0.1)]).project((torch.randn(10, 10),), mu=0.0)
    terms = list(code.children().values())
    assert condensa_bytes(code) == sum(map(condensa_bytes, terms)) == 4 * (100 + 10)
    assert lc_bits(code) == sum(map(lc_bits, terms))


def test_batch_norm_and_integers() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    size = report(model, all=("0.weight", c.Dense()))
    assert size.weights == 54
    # conv bias, scale, mean 0 and variance count; the shift and mean are zero, the counter is no
    # floating point number
    assert size.condensa_bytes == 4 * (54 + 3 + 3 + 3)
    assert size.lc_bytes == 4 * (54 + 5 * 3)


def test_a_model_of_zeros_has_finite_ratios() -> None:
    model = nn.Linear(3, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    size = report(model, all=("weight", c.Prune(0.5)))
    assert size.nonzeros == 0
    assert size.nonzero_ratio == 9
    assert size.condensa_bytes == 0
    assert size.condensa_ratio == 48


@dataclass(frozen=True, eq=False)
class SignCode(Code):
    """An extension's code, without children."""

    kind: ClassVar[str] = "size-test-sign"
    signs: Tensor

    def decode(self) -> Tensors:
        return (self.signs.float(),)

    def own_bits(self) -> int:
        return self.signs.numel() * 2

    def tensors(self) -> dict[str, Tensor]:
        return {"signs": self.signs}

    def meta(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(
        cls, meta: Mapping[str, Any], tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        return cls(tensors["signs"])


def test_extension_codes_have_sizes() -> None:
    code = SignCode(torch.tensor([1, 0, -1], dtype=torch.int8))
    assert condensa_bytes(code) == 8
    assert lc_bits(code) == 6


def test_bits_agree_with_the_file_within_one_per_cent() -> None:
    given = packed(
        dense(784, 300, 100, 10),
        first=("0.weight", c.Compose([c.Prune(0.05), c.Codebook(8)])),
        second=("1.weight", c.LowRank(5)),
        third=("2.weight", c.Codebook(4)),
    )
    size = size_report(given, 4 * 266_610)
    rest = 8 * sum(t.numel() * t.element_size() for t in given.rest.values())
    bits = rest + sum(code.bits() for code in given.codes.values())
    assert 8 * (size.bytes - size.header_bytes) == pytest.approx(bits, rel=0.01)

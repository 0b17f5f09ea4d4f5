from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import BlockPrune, Codebook, Compose, Dense, bitpack
from autocompress.compression.base import Tensors, total_numel
from autocompress.compression.structured.block import BlockCode
from autocompress.compression.weighting import Diagonal
from autocompress.errors import SchemeError
from autocompress.metrics.size import condensa_bytes, delta_bits, lc_bits
from tests.compression import strategies as s


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensors, tuple[int, ...], tuple[int, ...]]:
    """One or two weights, and blocks that fit them without always dividing them."""
    shapes: list[tuple[int, ...]] = [draw(st.sampled_from([(2, 3), (3, 2), (4, 3)]))]
    if draw(st.booleans()):
        shapes.append(draw(st.sampled_from([(2, 1, 2, 2), (3, 2, 2)])))
    weights = tuple(draw(s.tensors(shape)).to(torch.float64) for shape in shapes)
    linear = draw(st.sampled_from([(1, 2), (2, 2), (2, 1), (2,)]))
    return weights, linear, draw(st.sampled_from([(1, 1), (2, 1), (2,), (2, 1, 2)]))


def blocks_of(weight: Tensor, block: tuple[int, ...]) -> list[Tensor]:
    """Return the elements of each block, one block after the other."""
    full = (*block, *weight.shape[len(block) :])
    steps = [range(0, size, side) for size, side in zip(weight.shape, full, strict=True)]
    return [
        weight[tuple(slice(a, a + side) for a, side in zip(start, full, strict=True))].reshape(-1)
        for start in product(*steps)
    ]


@settings(max_examples=120)
@given(cases(), st.floats(0.01, 1), st.booleans())
def test_no_other_choice_of_blocks_is_better(
    case: tuple[Tensors, tuple[int, ...], tuple[int, ...]], density: float, joint: bool
) -> None:
    weights, linear, conv = case
    scheme = BlockPrune(density, linear, conv, scope="joint" if joint else "layer")
    code = scheme.project(weights, mu=0.0)
    s.check_code(code, weights)
    parts = [blocks_of(w, linear if w.dim() == 2 else conv) for w in weights]
    lost = _least(parts, density) if joint else sum(_least([part], density) for part in parts)
    assert s.error(code.decode(), weights) <= lost + 1e-12 * s.energy(weights)
    for weight, decoded, block in zip(weights, code.decode(), (linear, conv), strict=False):
        for before, after in zip(blocks_of(weight, block), blocks_of(decoded, block), strict=True):
            assert torch.equal(after, before) or not after.any()
    assert scheme.reals_shapes(code.shapes) is not None
    assert total_numel(scheme.reals_shapes(code.shapes) or ()) <= code.reals()[0].numel()


def _least(parts: list[list[Tensor]], density: float) -> float:
    energies = [[float(block.square().sum()) for block in part] for part in parts]
    count = max(len(parts), round(density * sum(map(len, parts))))
    best = [max(part) for part in energies]
    rest = sorted(e for part in energies for e in part)
    for energy in best:
        rest.remove(energy)
    kept = len(best)
    return sum(rest[: max(0, len(rest) - (count - kept))])


@pytest.mark.parametrize(("norm", "kept"), [("l2", [0]), ("l1", [1]), ("max", [0]), ("mean", [2])])
def test_norms(norm: str, kept: list[int]) -> None:
    weight = torch.tensor([[3.0, 0.0, 2.0, 1.5, 2.1], [0.0, 0.0, 1.0, 0.5, 2.1]])
    code = BlockPrune(0.34, linear=(2, 2), norm=norm).project((weight,), mu=0.0)
    assert code.index.tolist() == kept


def test_a_diagonal_norm_decides() -> None:
    weight, h = torch.tensor([[1.0, 1.0, 2.0, 2.0]] * 2), torch.ones(2, 4)
    h[:, :2] = 9.0
    code = BlockPrune(0.5, linear=(2, 2)).project((weight,), mu=0.0, weighting=Diagonal((h,)))
    assert code.index.tolist() == [0]
    reals = code.reals_weighting(Diagonal((h,)))
    assert isinstance(reals, Diagonal)
    assert reals.values[0].tolist() == [9.0] * 4
    ones = BlockPrune(0.5, linear=(2, 2)).project(
        (weight,), mu=0.0, weighting=Diagonal((torch.ones(2, 4),))
    )
    assert ones.index.tolist() == [1]


def test_bits() -> None:
    weight = torch.randn(8, 8)
    code = BlockPrune(0.5, linear=(4, 4)).project((weight,), mu=0.0)
    # 2 of 4 positions, as a bitmap or as gaps, and all of the blocks' values
    assert code.bits() - 2 * 16 * 32 == bitpack.pattern_bits(code.index, 4) <= 4


def test_size_by_other_definitions() -> None:
    weight = torch.arange(64.0).reshape(8, 8) + 1
    code = BlockPrune(0.5, linear=(2, 8)).project((weight,), mu=0.0)
    assert code.index.tolist() == [2, 3]
    assert condensa_bytes(code) == 4 * 32
    assert lc_bits(code) == 32 * 32 + delta_bits(code.index)


@pytest.mark.parametrize(
    ("scheme", "shape", "match"),
    [
        (BlockPrune(0.5), (3, 8), r"shape \(3, 8\) has no block linear = \(4, 4\)"),
        (BlockPrune(0.5, conv=(1, 4)), (8, 3, 3, 3), r"shape \(8, 3, 3, 3\) has no block conv"),
        (BlockPrune(0.5, conv=(1, 1, 1, 1)), (8, 3, 3), r"up to 3 sizes"),
        (BlockPrune(0.5), (8,), r"tensor 0 of shape \(8,\) is not a weight"),
    ],
)
def test_weights_without_such_blocks_are_refused(
    scheme: BlockPrune, shape: tuple[int, ...], match: str
) -> None:
    with pytest.raises(SchemeError, match=match):
        scheme.check((shape,))
    with pytest.raises(SchemeError, match=match):
        scheme.project((torch.ones(shape),), mu=0.0)
    if len(shape) > 1:
        scheme.fitted((shape,)).check((shape,))


@pytest.mark.parametrize(
    "fields",
    [
        {"density": 0.0},
        {"linear": ()},
        {"linear": (1, 2, 3)},
        {"conv": (0, 1)},
        {"conv": 4},
        {"norm": "l3"},
        {"scope": "all"},
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SchemeError, match=next(iter(fields))):
        BlockPrune(**{"density": 0.5, **fields})  # type: ignore[arg-type]


def test_canonical() -> None:
    linear, conv = ((8, 8),), ((8, 2, 3, 3),)
    assert BlockPrune(0.99).canonical(linear) == Dense()
    assert BlockPrune(0.5, conv=(2, 2)).canonical(linear) == BlockPrune(0.5)
    assert BlockPrune(0.5, linear=(2, 2), scope="layer").canonical(conv) == BlockPrune(0.5)


def test_survivors_may_be_compressed_further() -> None:
    weights = (torch.randn(9, 10), torch.randn(4, 3, 3, 3))
    code = Compose([BlockPrune(0.3), Codebook(4)]).project(weights, mu=0.0)
    s.check_code(code, weights)
    assert len(torch.cat([d.reshape(-1) for d in code.decode()]).unique()) <= 5


def test_restoring_contradicting_parts_is_refused() -> None:
    weights = (torch.randn(9, 10),)
    code, other = (BlockPrune(d).project(weights, mu=0.0) for d in (0.3, 0.8))
    for meta, tensors, children in (
        (code.meta(), code.tensors(), other.children()),
        (code.meta() | {"blocks": [[4, 0]]}, code.tensors(), code.children()),
        (code.meta() | {"blocks": [[4]]}, code.tensors(), code.children()),
        (code.meta() | {"blocks": [[5, 5]]}, code.tensors(), code.children()),
    ):
        with pytest.raises(ValueError, match=r"."):
            BlockCode.restore(meta, tensors, children)

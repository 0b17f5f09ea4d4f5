"""Structured pruning with other groups, norms and scopes, aligned, and with ties."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Codebook, Compose, Dense, LowRank, StructurePrune
from autocompress.compression.base import Facts, Span, Tensors, shapes_of, total_numel
from autocompress.compression.structured.rows import Ties
from autocompress.compression.structured.structure import StructureCode
from autocompress.compression.weighting import Diagonal, energy
from autocompress.errors import SchemeError
from autocompress.plan import Plan, Task
from autocompress.storage.packed import PackedModel, pack_parts
from tests.compression import strategies as s


@st.composite
def weights_of(draw: st.DrawFn) -> Tensors:
    """Two or three weights, the first two of equally many outputs; a bias after the first."""
    channels, dtype = draw(st.integers(1, 3)), draw(st.sampled_from(s.DTYPES))
    shapes = [(channels, 2), (channels,), (channels, 2, 2), (2, 3)]
    return tuple(draw(s.tensors(shape)).to(dtype) for shape in shapes[: draw(st.integers(3, 4))])


@settings(max_examples=100)
@given(weights_of(), st.floats(0.01, 1), st.booleans(), st.data())
def test_tied_layers_keep_the_best_channels_in_common(
    weights: Tensors, density: float, weighted: bool, data: st.DataObject
) -> None:
    scheme = StructurePrune(density, ties=((0, 2),))
    values = tuple(data.draw(s.tensors(tuple(w.shape))).double().abs() for w in weights)
    norm = Diagonal(values) if weighted else None
    code = scheme.project(weights, mu=0.0, weighting=norm)
    s.check_code(code, weights)
    assert code.kept[0].tolist() == code.kept[1].tolist()
    sizes = [weights[0].shape[0], *(w.shape[0] for w in weights[3:])]
    limit = max(len(sizes), round(density * sum(sizes)))
    best = min(
        energy(_difference(weights, _keeping(weights, choice)), norm)
        for choice in product(*(_subsets(size) for size in sizes))
        if sum(map(len, choice)) <= limit
    )
    found = energy(_difference(weights, code.decode()), norm)
    assert found <= best + 1e-9 * energy(weights, norm)


def _subsets(size: int) -> list[list[int]]:
    flags = product([False, True], repeat=size)
    return [[i for i, f in enumerate(row) if f] for row in flags if any(row)]


def _keeping(weights: Tensors, choice: tuple[list[int], ...]) -> Tensors:
    kept = [choice[0]] * 3 + [choice[-1]] * (len(weights) - 3)
    masked = []
    for weight, channels in zip(weights, kept, strict=True):
        full = torch.zeros_like(weight)
        full[channels] = weight[channels]
        masked.append(full)
    return tuple(masked)


def _difference(a: Tensors, b: Tensors) -> Tensors:
    return tuple(x.double() - y.double() for x, y in zip(a, b, strict=True))


@given(s.matrices(4), st.floats(0.01, 1))
def test_pruning_inputs_is_pruning_outputs_of_the_transpose(weight: Tensor, density: float) -> None:
    code = StructurePrune(density, groups="inputs").project((weight,), mu=0.0)
    s.check_code(code, (weight,))
    other = StructurePrune(density).project((weight.t().contiguous(),), mu=0.0)
    ours, theirs = code.decode()[0], other.decode()[0].t()
    if not torch.equal(ours, theirs):  # sums in another order: norms equal but for rounding
        assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=1e-6)
    assert code.bits() == other.bits()


def test_input_channels_of_convolutions() -> None:
    weight = torch.zeros(2, 3, 2, 2)
    weight[1, 2, 1, 0], weight[0, 0, 0, 0] = 2.0, 1.0
    code = StructurePrune(0.34, groups="inputs").project((weight,), mu=0.0)
    assert code.kept[0].tolist() == [2]
    assert code.inner.decode()[0].shape == (2, 1, 2, 2)


@pytest.mark.parametrize(("norm", "favoured"), [("l2", 0), ("l1", 1), ("max", 0), ("mean", 2)])
def test_norms(norm: str, favoured: int) -> None:
    weights = (
        torch.tensor([[3.0, 0.0, 0.0], [3.0, 0.0, 0.0]]),
        torch.full((2, 9), 0.6),
        torch.full((2, 1), 1.7),
    )
    code = StructurePrune(4 / 6, norm=norm).project(weights, mu=0.0)
    # one of each layer, and one more
    assert [k.numel() for k in code.kept] == [2 if i == favoured else 1 for i in range(3)]


def test_each_layer_by_itself() -> None:
    weights = (torch.full((6, 2), 10.0), torch.rand(8, 2))
    code = StructurePrune(0.5, scope="layer").project(weights, mu=0.0)
    assert [k.numel() for k in code.kept] == [3, 4]


@given(st.integers(1, 5), st.floats(0.01, 1), st.integers(1, 9), st.integers(1, 9))
def test_aligned_counts(align: int, density: float, a: int, b: int) -> None:
    weights = (torch.rand(a, 2), torch.rand(b, 3))
    for scope in ("joint", "layer"):
        scheme = StructurePrune(density, scope=scope, align=align)
        for kept, size in zip(scheme.project(weights, mu=0.0).kept, (a, b), strict=True):
            assert kept.numel() % align == 0 or kept.numel() == size


def test_biases_may_stay() -> None:
    weight, bias = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([9.0, 1.0, 1.0])
    scheme = StructurePrune(0.34, biases=False)
    code = scheme.project((weight, bias), mu=0.0)
    s.check_code(code, (weight, bias))
    assert [d.tolist() for d in code.decode()] == [[[0.0], [0.0], [3.0]], [9.0, 1.0, 1.0]]
    assert code.bits() == 3 + 32 * 4
    assert "constant" in scheme.remark(code.shapes)
    assert scheme.canonical(((3, 1),)) == StructurePrune(0.34)


@given(weights_of(), st.floats(0.01, 1), st.integers(1, 2), st.booleans(), st.booleans())
def test_shapes_of_what_is_left(
    weights: Tensors, density: float, align: int, joint: bool, biases: bool
) -> None:
    scope = "joint" if joint else "layer"
    scheme = StructurePrune(density, scope=scope, align=align, biases=biases)
    reals = shapes_of(scheme.project(weights, mu=0.0).reals())
    told = scheme.reals_shapes(shapes_of(weights))
    assert told is not None
    assert total_numel(told) <= total_numel(reals)
    assert [shape[1:] for shape in told] == [shape[1:] for shape in reals]
    if not joint:
        assert told == reals


def test_low_rank_and_codebook_after_it() -> None:
    weights = (torch.randn(8, 6), torch.randn(5, 9))
    for last in (LowRank(2), Codebook(3)):
        scheme = Compose([StructurePrune(0.5, groups="inputs"), last])
        scheme.check(shapes_of(weights))
        s.check_code(scheme.project(weights, mu=0.0), weights)


def test_the_norm_goes_on_to_what_is_composed() -> None:
    weights, h = (torch.randn(4, 3), torch.randn(4)), (torch.rand(4, 3), torch.rand(4))
    code = StructurePrune(0.5).project(weights, mu=0.0, weighting=Diagonal(h))
    reals = code.reals_weighting(Diagonal(h))
    assert isinstance(reals, Diagonal)
    for ours, whole in zip(reals.values, h, strict=True):
        assert torch.equal(ours, whole[code.kept[0]])


def test_binding_records_ties_and_unbinding_forgets_them() -> None:
    loose = Facts()
    both, other = Facts(ties=(Span(3, 0, 4, 2),)), Facts(ties=(Span(5, 0, 4, 2),))
    facts = [both, loose, other, loose, both]
    bound = StructurePrune(0.5).bind(facts)
    assert bound == StructurePrune(0.5, ties=((0, 4), (-1, 2)))
    assert bound.unbound() == StructurePrune(0.5)
    assert "tensor 2 are added to ones outside" in bound.remark(((4, 2),) * 5)
    assert StructurePrune(0.5, groups="inputs").bind(facts) == StructurePrune(0.5, groups="inputs")
    assert bound.describe() == "structure-prune(density=0.5)"


@settings(max_examples=60)
@given(st.lists(s.tensors((5, 2)), min_size=3, max_size=3), st.floats(0.01, 1))
def test_tied_parts_keep_the_best_channels_in_common(parts: list[Tensor], density: float) -> None:
    """Two layers of 2 and 3 channels, one of 5 after their concatenation, and a norm of 6."""
    first, second, both = (part.float() for part in parts)
    weights = (first[:2], second[:3], both, torch.linspace(-1.0, 1.0, 6))
    ties = ((0, (2, 0, 2), (3, 1, 3)), (1, (2, 2, 5), (3, 3, 6)))
    scheme = StructurePrune(density, ties=ties, joined=(3,))
    code = scheme.project(weights, mu=0.0)
    s.check_code(code, weights)
    one, two, kept, norm = (k.tolist() for k in code.kept)
    assert kept == [*one, *(2 + c for c in two)]
    assert norm == [0, *(1 + c for c in kept)]  # its first channel is in no row

    energies = torch.cat([weights[0], weights[1]]).double().square().sum(1)
    energies += weights[2].double().square().sum(1) + weights[3][1:].double().square()
    best = max(
        float(energies[a].sum() + energies[[2 + c for c in b]].sum())
        for a, b in product(_subsets(2), _subsets(3))
        if len(a) + len(b) <= max(2, round(density * 5))
    )
    assert float(energies[kept].sum()) >= best - 1e-9 * float(energies.sum())


def test_what_is_said_of_tied_parts_is_exact() -> None:
    weights = (torch.randn(2, 2), torch.randn(3, 4), torch.randn(5, 1), torch.randn(6))
    shapes = shapes_of(weights)
    ties = ((0, (2, 0, 2), (3, 1, 3)), (1, (2, 2, 5), (3, 3, 6)))
    scheme = StructurePrune(0.5, scope="layer", ties=ties, joined=(3,))
    code = scheme.project(weights, mu=0.0)
    assert scheme.reals_shapes(shapes) == shapes_of(code.inner.decode())
    assert scheme.reals_shapes(shapes) == ((1, 2), (2, 4), (3, 1), (4,))
    assert code.own_bits() == 2 + 3 + 5 + 6
    packed = PackedModel(Plan([Task("t", "abcd", scheme)]), {"t": code}, {})
    estimate = scheme.estimate(shapes)
    assert estimate is not None
    assert estimate.bytes.exact
    assert estimate.bytes.value == pack_parts(packed)[1]


@pytest.mark.parametrize("ties", [
    ((0, (2, 0, 3)),), ((0, (2, 0, 2)),), ((0, (2, 4, 6)), (1, (2, 0, 3))), ((0, (3, 0, 2)),),
])  # fmt: skip
def test_parts_that_do_not_fit_are_refused(ties: Ties) -> None:
    with pytest.raises(SchemeError, match="ties"):
        StructurePrune(0.5, ties=ties).check(((2, 2), (3, 4), (5, 1)))


@pytest.mark.parametrize("ties", [
    ((0, (2, 0, 2)), (1, (2, 1, 4))), ((0, 2), (1, (2, 0, 3))), ((0, (2, 0)),), ((0, (2, -1, 1)),),
    ((0, (2, 3, 1)),), ((0, 2), (1, 2)),
])  # fmt: skip
def test_parts_that_overlap_are_refused(ties: Ties) -> None:
    with pytest.raises(SchemeError, match="ties"):
        StructurePrune(0.5, ties=ties)


def test_joined_vectors_of_a_file_must_be_there() -> None:
    code = StructurePrune(0.5, joined=(1,)).project((torch.randn(4, 2), torch.randn(3)), mu=0.0)
    meta, tensors = code.meta(), code.tensors()
    children = {"inner": code.inner}
    again = StructureCode.restore(meta, tensors, children)
    assert all(map(torch.equal, again.decode(), code.decode()))
    for joined in ([2], [-1], ["1"], [True]):
        with pytest.raises(ValueError, match="joined"):
            StructureCode.restore(meta | {"joined": joined}, tensors, children)


@pytest.mark.parametrize("ties", [((0, 1),), ((0, 2),), ((0, 9),)])
def test_ties_that_do_not_fit_are_refused(ties: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(SchemeError, match="ties"):
        StructurePrune(0.5, ties=ties).check(((4, 2), (4,), (3, 2)))


@pytest.mark.parametrize(
    "fields",
    [
        {"groups": "rows"},
        {"norm": "l0"},
        {"scope": 1},
        {"align": 0},
        {"align": 1.5},
        {"biases": 1},
        {"ties": ((0, 1), (1, 2))},
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SchemeError, match=next(iter(fields))):
        StructurePrune(0.5, **fields)  # type: ignore[arg-type]


def test_inputs_of_vectors_are_refused() -> None:
    with pytest.raises(SchemeError, match=r"tensor 1 of shape \(4,\) has no input channels"):
        StructurePrune(0.5, groups="inputs").check(((4, 2), (4,)))


def test_canonical() -> None:
    shapes, one = ((10, 3), (10,), (10, 2)), ((10, 3), (10,))
    assert StructurePrune(0.96, scope="layer").canonical(shapes) == Dense()
    assert StructurePrune(0.1, align=16).canonical(shapes) == Dense()
    mean = StructurePrune(0.5, norm="mean", scope="layer")
    assert mean.canonical(one) == StructurePrune(0.5, norm="l1")
    assert mean.canonical(shapes) == StructurePrune(0.5, norm="l1", scope="layer")
    joint = StructurePrune(0.5, norm="mean")
    assert joint.canonical(shapes) == joint


def test_codes_written_before_there_were_axes_are_read() -> None:
    weights = (torch.randn(6, 3), torch.randn(6))
    code = StructurePrune(0.5).project(weights, mu=0.0)
    assert code.meta() == {"shapes": [[6, 3], [6]]}
    again = StructureCode.restore(code.meta(), code.tensors(), code.children())
    assert (again.axis, again.biases) == (0, True)
    with pytest.raises(ValueError, match="axis"):
        StructureCode.restore(code.meta() | {"axis": 2}, code.tensors(), code.children())

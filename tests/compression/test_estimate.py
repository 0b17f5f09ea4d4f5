import pytest
import torch

from autocompress import compression as c
from autocompress.compression.base import shapes_of
from autocompress.compression.estimate import Known, positions
from autocompress.storage import codec

GENERATOR = torch.Generator().manual_seed(0)
TASKS = [
    (torch.randn(64, 120, generator=GENERATOR),),
    (
        torch.randn(40, 64, generator=GENERATOR),
        torch.randn(40, generator=GENERATOR),
        torch.randn(16, 8, 3, 3, generator=GENERATOR),
        torch.randn(16, generator=GENERATOR),
    ),
    (torch.randn(32, 16, 3, 3, generator=GENERATOR), torch.randn(48, 32, generator=GENERATOR)),
]
EXACT = [
    c.Dense(),
    c.Cast("float16"),
    c.Cast("float8_e5m2"),
    c.Prune(1.0),
    c.NMPrune(2, 4),
    c.NMPrune(1, 8, axis="output"),
    c.Codebook(1),
    c.Codebook(5),
    c.Codebook(16, zero=True),
    c.Codebook(3, group="row"),
    c.Binary(),
    c.BinaryScale("row"),
    c.Ternary(),
    c.TernaryScale(50),
    c.PowersOfTwo(3),
    c.PowersOfTwo(1, scale=True, group="tensor"),
    c.LowRank(3),
    c.LowRank(rank_fraction=0.5, conv="spatial"),
    c.LowRank(parameters=0.4),
    c.Uniform(4),
    c.Uniform(3, symmetric=False, per="channel"),
    c.Uniform(16, per="group", group_size=9),
    c.StructurePrune(0.5, scope="layer"),
    c.StructurePrune(0.6, scope="layer", align=4, biases=False),
    c.StructurePrune(0.5, groups="inputs", scope="layer"),
    c.Compose([c.LowRank(2), c.Codebook(4), c.Cast("bfloat16")]),
    c.Compose([c.StructurePrune(0.4, scope="layer"), c.Uniform(4)]),
    c.Compose([c.NMPrune(2, 4), c.Codebook(8)]),
    c.Additive([c.LowRank(1), c.Codebook(4)]),
]
NEAR = [
    *(c.Prune(density) for density in (0.02, 0.05, 0.1, 0.3, 0.5, 0.9)),
    c.Compose([c.Prune(0.1), c.Codebook(4), c.Cast("float16")]),
    c.Compose([c.LowRank(3), c.Prune(0.3)]),
    c.Compose([c.StructurePrune(0.4, scope="layer"), c.Prune(0.3)]),
    c.Additive([c.Codebook(2), c.Prune(0.05)]),
    c.BlockPrune(0.3, linear=(4, 4), conv=(4, 4), scope="layer"),
]
BOUNDED = [
    c.StructurePrune(0.5),
    c.StructurePrune(0.7, align=4),
    c.BlockPrune(0.3),
    c.BlockPrune(0.3, linear=(3, 7), conv=(5,), norm="mean", scope="layer"),
    c.Compose([c.StructurePrune(0.5), c.Codebook(4)]),
]
UNKNOWN = [
    c.L1Ball(0.1),
    c.L0Penalty(0.1),
    c.L1Penalty(0.1),
    c.RankSelection(1e-4),
    c.GlobalRank(0.5),
    c.LowRank(energy=0.9),
    c.Compose([c.L1Ball(0.1), c.Codebook(4)]),
    c.Additive([c.Codebook(4), c.L1Ball(0.1)]),
]


def cases(schemes):
    for scheme in schemes:
        for weights in TASKS:
            shapes = shapes_of(weights)
            try:
                scheme.check(shapes)
            except c.base.SchemeError:
                continue
            yield scheme, weights, scheme.estimate(shapes), scheme.project(weights, mu=1.0)


def nonzeros(code):
    return sum(int(w.count_nonzero()) for w in code.decode())


@pytest.mark.parametrize("scheme", EXACT, ids=lambda s: s.describe())
def test_bits_and_text_of_fixed_schemes_are_exact(scheme):
    found = list(cases([scheme]))
    assert found
    for _, _, estimate, code in found:
        buffers = codec.encode(code, "x")[1]
        assert estimate.exact
        assert estimate.bits.value == code.bits()
        assert estimate.bytes.value == sum(b.numel() * b.element_size() for b in buffers.values())
        assert _text(estimate.node()) == _text(codec.take_apart(code, _described))
        if estimate.nonzeros is not None:
            assert nonzeros(code) == pytest.approx(estimate.nonzeros.value, rel=1e-3)


@pytest.mark.parametrize("scheme", NEAR, ids=lambda s: s.describe())
def test_bits_of_random_positions_are_near(scheme):
    found = list(cases([scheme]))
    assert found
    for _, _, estimate, code in found:
        assert estimate.bits.low <= code.bits() <= estimate.bits.high
        assert estimate.bits.value == pytest.approx(code.bits(), rel=0.03)
        if estimate.nonzeros is not None:
            assert estimate.nonzeros.low <= nonzeros(code) <= estimate.nonzeros.high


@pytest.mark.parametrize("scheme", BOUNDED, ids=lambda s: s.describe())
def test_bounds_hold_where_layers_compete(scheme):
    for _, _, estimate, code in cases([scheme]):
        assert estimate.bits.low <= code.bits() <= estimate.bits.high
        assert estimate.bits.low <= estimate.bits.value <= estimate.bits.high


@pytest.mark.parametrize("scheme", UNKNOWN, ids=lambda s: s.describe())
def test_schemes_whose_size_the_weights_decide_say_so(scheme):
    assert scheme.estimate(((40, 64),)) is None


@pytest.mark.parametrize("size", [10, 1000, 30_000])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_no_positions_leave_the_bounds(size, share):
    count = max(1, round(share * size))
    _, buffers = positions(count, size)
    low, high = (sum(getattr(b.bits, end) for b in buffers) for end in ("low", "high"))
    patterns = [
        torch.arange(count),
        torch.arange(size - count, size),
        torch.arange(count) * (size // count),
        torch.randperm(size, generator=GENERATOR)[:count].sort().values,
        torch.cat([torch.arange(count - 1), torch.tensor([size - 1])]),
    ]
    for index in patterns:
        assert low <= c.pruning.prune.bitpack.pattern_bits(index, size) <= high


def test_known_numbers():
    number = Known(10.0, 8.0, 11.0)
    assert number.error == pytest.approx(0.2)
    assert not number.exact
    assert Known.exactly(0).error == 0
    assert number + Known.exactly(1) == Known(11.0, 9.0, 12.0)
    assert number.scaled(0.5, 2) == Known(10.0, 4.0, 22.0)


def _described(_, tensor):
    from autocompress.storage.buffers import dtype_code

    return [dtype_code(tensor), tensor.numel()]


def _text(node):
    import json

    return json.dumps(node)

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Cast, Compose, LowRank, Prune, Uniform
from autocompress.compression.grids.code import UniformCode
from autocompress.compression.grids.rows import layout
from autocompress.compression.registry import from_dict, to_dict
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s

GENERATOR = torch.Generator().manual_seed(0)
LAYER = torch.randn(6, 50, generator=GENERATOR)
FILTERS = torch.randn(4, 3, 3, 3, generator=GENERATOR)
BIAS = torch.randn(6, generator=GENERATOR)
SCALES = ["mse", "minmax", "percentile", "entropy"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 5])
def test_a_channel_is_a_tensor_of_its_own(bits: int, symmetric: bool, scale: str) -> None:
    for weights in (LAYER, FILTERS):
        whole = Uniform(bits, symmetric, "channel", scale=scale).project((weights,), mu=0.0)
        alone = Uniform(bits, symmetric, scale=scale)
        rows = [alone.project((row,), mu=0.0).decode()[0] for row in weights]
        if symmetric or scale != "mse":
            assert torch.allclose(whole.decode()[0], torch.stack(rows), rtol=1e-6, atol=1e-7)
        else:  # how thoroughly is searched depends on the size
            ours, theirs = (
                s.error(whole.decode(), (weights,)),
                s.error((torch.stack(rows),), (weights,)),
            )
            assert ours == pytest.approx(theirs, rel=0.1)


@pytest.mark.parametrize("scale", SCALES)
def test_groups_are_cut_along_rows_and_the_last_may_be_short(scale: str) -> None:
    scheme = Uniform(3, per="group", group_size=40, scale=scale)
    code = scheme.project((LAYER, BIAS), mu=0.0)
    parts = [*LAYER.flatten().split(40), BIAS]
    alone = [Uniform(3, scale=scale).project((part,), mu=0.0).decode()[0] for part in parts]
    decoded = torch.cat([d.flatten() for d in code.decode()])
    assert torch.allclose(decoded, torch.cat(alone), rtol=1e-6, atol=1e-7)
    assert code.layout() == [(7, 40), (1, 20), (1, 6)]
    assert [tuple(r.shape) for r in code.reals()] == [(9,)]


def test_each_tensor_of_a_task_has_its_scale() -> None:
    code = Uniform(4).project((LAYER, BIAS * 100), mu=0.0)
    assert s.same(code.decode()[:1], Uniform(4).project((LAYER,), mu=0.0).decode())
    assert layout(((6, 50), (6,), ()), "channel", None) == [(6, 50), (1, 6), (1, 1)]


def test_levels_are_as_documented() -> None:
    ramp = torch.linspace(-1, 1, 1001)
    for bits in (1, 2, 3, 4, 5, 6, 7, 8, 16):
        code = Uniform(bits, scale="minmax").project((ramp,), mu=0.0)
        top = max(2 ** (bits - 1) - 1, 1)
        assert (int(code.levels.min()), int(code.levels.max())) == (-top, top)
        if bits == 1:
            assert not (code.levels == 0).any()
        code = Uniform(bits, False, scale="minmax").project((ramp,), mu=0.0)
        assert (int(code.levels.min()), int(code.levels.max())) == (
            -(2 ** (bits - 1)),
            2 ** (bits - 1) - 1,
        )
        assert code.own_bits() == 1001 * bits


def test_one_symmetric_bit_is_sign_times_mean() -> None:
    (decoded,) = Uniform(1).project((LAYER,), mu=0.0).decode()
    expected = torch.where(LAYER < 0, -1, 1) * LAYER.abs().mean()
    assert torch.allclose(decoded, expected)


def test_scales_can_be_cast() -> None:
    plain = Uniform(4, False, "channel").project((LAYER,), mu=0.0)
    scheme = Compose([Uniform(4, False, "channel"), Cast("float16")])
    code = scheme.project((LAYER,), mu=0.0)
    assert code.bits() == 300 * 4 + 2 * 6 * 16
    assert plain.bits() == 300 * 4 + 2 * 6 * 32
    assert isinstance(code, UniformCode)
    scale, offset = code.grids()
    assert torch.equal(scale, plain.grids()[0].half().float())
    assert offset is not None
    assert torch.equal(code.levels, plain.levels)
    s.check_code(code, (LAYER,))


def test_survivors_and_factors_can_be_quantized() -> None:
    pruned = Compose([Prune(0.1), Uniform(4)]).project((LAYER,), mu=0.0)
    survivors = Prune(0.1).project((LAYER,), mu=0.0).decode()[0]
    decoded = pruned.decode()[0]
    assert torch.equal(decoded != 0, survivors != 0) or s.error((decoded,), (survivors,)) < 0.1
    factors = Compose([LowRank(3), Uniform(8, per="channel")]).project((LAYER,), mu=0.0)
    exact = LowRank(3).project((LAYER,), mu=0.0).decode()
    assert s.error(factors.decode(), exact) < 1e-3 * s.energy(exact)
    assert factors.bits() < LowRank(3).project((LAYER,), mu=0.0).bits() / 3


@settings(max_examples=30)
@given(s.vectors(12), st.sampled_from([1, 3, 8, 16]), st.booleans(), st.integers(1, 3))
def test_codes_of_any_weights(vector: Tensor, bits: int, symmetric: bool, pieces: int) -> None:
    weights = s.cut(vector, pieces)
    for scale in SCALES[: 3 if bits == 1 else 4]:
        s.check_code(Uniform(bits, symmetric, scale=scale).project(weights, mu=0.0), weights)


def test_half_precision_weights() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        weights = LAYER.to(dtype)
        for scale in SCALES:
            for symmetric in (True, False):
                code = Uniform(4, symmetric, scale=scale).project((weights,), mu=0.0)
                s.check_code(code, (weights,))
                assert s.error(code.decode(), (weights,)) < 0.05 * s.energy((weights,))


def test_simpler_schemes_with_the_same_solutions() -> None:
    shapes = ((6, 50),)
    assert Uniform(4, per="group", group_size=50).canonical(shapes) == Uniform(4, per="channel")
    assert Uniform(4, per="group", group_size=300).canonical(shapes) == Uniform(4)
    assert Uniform(4, per="channel").canonical(((7,), (1, 9))) == Uniform(4)
    assert Uniform(4, per="group", group_size=20).canonical(shapes).describe().count("group") == 2
    whole = Uniform(4, scale="percentile", percentile=100)
    assert whole.canonical(shapes) == Uniform(4, scale="minmax")


def test_percentile_has_a_default_where_it_counts() -> None:
    assert Uniform(4, scale="percentile") == Uniform(4, scale="percentile", percentile=99.9)
    data = {"scheme": "uniform", "bits": 4, "per": "group", "group_size": 64}
    assert from_dict(data) == Uniform(4, per="group", group_size=64)
    assert from_dict(to_dict(Uniform(4))) == Uniform(4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 9}, "bits = 9: accepted is an integer from 1 to 8, or 16"),
        ({"bits": 0}, "bits = 0"),
        ({"bits": 4.0}, "bits = 4.0"),
        ({"bits": True}, "bits = True"),
        ({"bits": 4, "symmetric": 1}, "symmetric = 1"),
        ({"bits": 4, "per": "row"}, "per = 'row': accepted is tensor, channel, group"),
        ({"bits": 4, "scale": "kl"}, "scale = 'kl': accepted is mse"),
        ({"bits": 4, "per": "group"}, "group_size = None is not an integer >= 1"),
        ({"bits": 4, "per": "group", "group_size": 0}, "group_size = 0"),
        ({"bits": 4, "group_size": 64}, "group_size = 64 needs per = 'group'"),
        ({"bits": 4, "percentile": 99}, "percentile = 99 needs scale = 'percentile'"),
        ({"bits": 4, "scale": "percentile", "percentile": 50}, "percentile = 50 is not in"),
        ({"bits": 1, "scale": "entropy"}, "entropy' has no meaning for bits = 1"),
    ],
)
def test_fields_that_cannot_be_used(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        Uniform(**fields)  # type: ignore[arg-type]
    with pytest.raises(SchemeError, match=message):
        from_dict({"scheme": "uniform", **fields})


def test_norms_that_are_not_known_are_refused() -> None:
    diagonal = Diagonal((torch.ones_like(LAYER),))
    assert Uniform(4).weightings == {"diagonal"}
    assert not Uniform(4, scale="minmax").weightings
    with pytest.raises(SchemeError, match=r"scale = 'minmax' has no diagonal weighting"):
        Uniform(4, scale="minmax").project((LAYER,), mu=0.0, weighting=diagonal)
    with pytest.raises(SchemeError, match=r"no covariance weighting"):
        Uniform(4).project((LAYER,), mu=0.0, weighting=Covariance((torch.eye(50),)))
    with pytest.raises(SchemeError, match=r"weighting of shapes"):
        Uniform(4).project((BIAS,), mu=0.0, weighting=diagonal)


def test_forged_codes_are_refused() -> None:
    code = Uniform(3).project((LAYER,), mu=0.0)
    tensors, children = code.tensors(), code.children()
    forged = (("width", 9), ("per", "row"), ("group_size", 4), ("symmetric", 2), ("per", "channel"))
    for key, value in forged:
        with pytest.raises(ValueError, match=r"."):
            UniformCode.restore(code.meta() | {key: value}, tensors, children)
    zeros = {"levels": torch.zeros_like(tensors["levels"])}
    with pytest.raises(ValueError, match=r"a level below -3"):
        UniformCode.restore(code.meta(), zeros, children)

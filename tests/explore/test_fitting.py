import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression import Additive, Codebook, Compose, LowRank, Prune
from autocompress.errors import ConfigError, SchemeError
from autocompress.explore.fitting import build_any, fit, has_fraction

WIDE = ((16, 32),)


@pytest.mark.parametrize(
    ("fraction", "shape", "conv", "rank"),
    [
        (0.5, (16, 32), "channel", 8),
        (0.01, (16, 32), "channel", 1),
        (1.0, (16, 32), "channel", 16),
        (0.5, (8, 4, 3, 3), "channel", 4),
        (0.5, (8, 4, 3, 3), "spatial", 6),
    ],
)
def test_a_relative_rank_is_that_part_of_the_full_one(fraction, shape, conv, rank):
    values = {"scheme": "low-rank", "rank_fraction": fraction, "conv": conv}
    assert fit(values, (shape,)) == LowRank(rank, conv)


def test_a_relative_rank_of_layers_that_differ_is_refused():
    values = {"scheme": "low-rank", "rank_fraction": 0.5}
    assert fit(values, ((8, 16), (16, 8))) == LowRank(4)
    with pytest.raises(ConfigError, match=r"one full rank, not \[4, 8\]"):
        fit(values, ((4, 8), (8, 8)))


def test_codebooks_are_never_larger_than_what_they_quantize():
    codebook = {"scheme": "codebook", "k": 64}
    assert fit(codebook, ((3, 3),)) == Codebook(9)
    assert fit(codebook, WIDE) == Codebook(64)
    pruned = {"scheme": "compose", "of": [{"scheme": "prune", "density": 0.02}, codebook]}
    assert fit(pruned, WIDE) == Compose([Prune(0.02), Codebook(10)])
    summed = {"scheme": "additive", "of": [{"scheme": "prune", "density": 0.02}, codebook]}
    assert fit(summed, ((3, 3),)) == Additive([Prune(0.02), Codebook(9)])
    factors = {"scheme": "compose", "of": [{"scheme": "low-rank", "rank": 1}, codebook]}
    assert fit(factors, WIDE).of[1] == Codebook(48)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=3),
    st.floats(0.01, 1),
    st.sampled_from(["prune", "low-rank", "structure-prune"]),
    st.integers(0, 20),
)
def test_whatever_comes_first_the_codebook_after_it_can_be_solved(shapes, density, first, seed):
    if first == "structure-prune":
        shapes = [shape for pair in shapes for shape in (pair, (pair[0],))]
    head = {"scheme": first}
    head |= {"rank": 1 + seed % 3} if first == "low-rank" else {"density": density}
    values = {"scheme": "compose", "of": [head, {"scheme": "codebook", "k": 30}]}
    scheme = fit(values, tuple(shapes))
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    code = scheme.project(weights, mu=1.0)
    assert [tuple(w.shape) for w in code.decode()] == [tuple(shape) for shape in shapes]


def test_what_cannot_apply_is_refused_before_any_training():
    values = {
        "scheme": "compose",
        "of": [{"scheme": "prune", "density": 0.5}, {"scheme": "low-rank", "rank": 2}],
    }
    with pytest.raises(SchemeError, match="needs a matrix"):
        fit(values, WIDE)


def test_relative_ranks_are_recognised_and_checked_at_any_depth():
    inner = {"scheme": "low-rank", "rank_fraction": 0.5}
    outer = {"scheme": "compose", "of": [inner, {"scheme": "cast", "dtype": "float16"}]}
    assert has_fraction(outer)
    assert not has_fraction({"scheme": "low-rank", "rank": 3})
    assert build_any(outer).of[0] == LowRank(1)
    for bad in (0, 1.5, "a", True):
        with pytest.raises(ConfigError, match=r"f\.of\[0\]\.rank_fraction"):
            build_any({**outer, "of": [{**inner, "rank_fraction": bad}]}, where="f")
    with pytest.raises(ConfigError, match="not both"):
        build_any({**inner, "rank": 2}, where="f")

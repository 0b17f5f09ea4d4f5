import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression import Additive, Codebook, Compose, GlobalRank, LowRank, Prune
from autocompress.errors import SchemeError
from autocompress.explore.fitting import fit

WIDE = ((16, 32),)


@pytest.mark.parametrize(
    ("fraction", "shape", "conv", "rank"),
    [
        (0.5, (16, 32), "channel", 8),
        (0.01, (16, 32), "channel", 1),
        (0.5, (8, 4, 3, 3), "channel", 4),
        (0.5, (8, 4, 3, 3), "spatial", 6),
    ],
)
def test_a_relative_rank_is_that_part_of_the_full_one(fraction, shape, conv, rank):
    values = {"scheme": "low-rank", "rank_fraction": fraction, "conv": conv}
    assert fit(values, (shape,)) == LowRank(rank, conv)


def test_a_relative_rank_of_layers_that_differ_stays_relative():
    values = {"scheme": "low-rank", "rank_fraction": 0.5}
    assert fit(values, ((8, 16), (16, 8))) == LowRank(4)
    assert fit(values, ((4, 8), (8, 8))) == LowRank(rank_fraction=0.5)
    assert fit(values | {"rank_fraction": 1.0}, WIDE) == LowRank(rank_fraction=1.0)


def test_a_budget_too_small_for_any_rank_is_raised_to_the_least():
    values = {"scheme": "global-rank", "budget": 0.01}
    assert fit(values, ((4, 4), (8, 8))) == GlobalRank(24 / 80)
    assert fit(values, ((100, 400),)) == GlobalRank(500 / 40000)
    assert fit(values | {"budget": 0.5}, ((4, 4),)) == GlobalRank(0.5)


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

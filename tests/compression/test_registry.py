from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress import compression as c
from autocompress.compression.base import Compression
from autocompress.compression.registry import CODES, SCHEMES, from_dict, to_dict
from autocompress.errors import AutocompressError, SchemeError, UnknownName

densities = st.floats(1e-6, 1)


def composes(terms: list[Compression]) -> bool:
    """Whether the schemes may stand in this order."""
    try:
        c.Compose(terms)
    except SchemeError:
        return False
    return True


simple = st.one_of(
    st.just(c.Dense()),
    densities.map(c.Prune),
    st.integers(1, 300).map(c.Codebook),
    st.builds(c.LowRank, st.integers(1, 50), st.sampled_from(["channel", "spatial"])),
    st.floats(0.01, 1).map(lambda share: c.LowRank(rank_fraction=share)),
    st.builds(c.RankSelection, st.floats(1e-9, 1), st.sampled_from(["storage", "flops"])),
    st.builds(c.GlobalRank, st.floats(0.01, 1), st.sampled_from(["parameters", "flops"])),
    st.sampled_from(["float16", "bfloat16"]).map(c.Cast),
)
schemes: st.SearchStrategy[Compression] = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).filter(composes).map(c.Compose),
        st.builds(
            c.Additive, st.lists(inner, min_size=2, max_size=3), densities, st.integers(1, 99)
        ),
    ),
    max_leaves=6,
) | densities.map(c.StructurePrune)


@given(schemes)
def test_schemes_survive_json(scheme: Compression) -> None:
    again = from_dict(json.loads(json.dumps(to_dict(scheme))))
    assert again == scheme
    assert hash(again) == hash(scheme)
    assert again.describe() == scheme.describe()


@given(schemes)
def test_canonical_is_idempotent(scheme: Compression) -> None:
    shapes = ((20, 30), (10, 20))
    simple = scheme.canonical(shapes)
    assert simple.canonical(shapes) == simple


def test_the_json_form() -> None:
    assert to_dict(c.Prune(0.05)) == {"scheme": "prune", "density": 0.05}
    nested = c.Compose([c.Prune(0.05), c.Cast("float16")])
    assert to_dict(nested) == {
        "scheme": "compose",
        "of": [{"scheme": "prune", "density": 0.05}, {"scheme": "cast", "dtype": "float16"}],
    }


def test_defaults_may_be_left_out() -> None:
    assert from_dict({"scheme": "low-rank", "rank": 3}) == c.LowRank(3)
    terms = [{"scheme": "codebook", "k": 2}, {"scheme": "prune", "density": 0.01}]
    assert from_dict({"scheme": "additive", "of": terms}) == c.Additive(
        [c.Codebook(2), c.Prune(0.01)]
    )


def test_names() -> None:
    """Names in files and plans: none is ever taken away."""
    assert set(SCHEMES) == {
        "dense", "cast", "uniform", "compose", "additive",
        "prune", "n-m", "l1-ball", "l0-penalty", "l1-penalty", "structure-prune", "block-prune",
        "codebook", "binary", "binary-scale", "ternary", "ternary-scale", "powers-of-two",
        "low-rank", "rank-selection", "global-rank",
    }  # fmt: skip
    assert set(CODES) == {
        "dense", "sparse", "n-m", "structure", "block", "codebook", "codebook-groups", "levels",
        "uniform", "lowrank", "additive",
    }  # fmt: skip
    assert all(scheme.name == name for name, scheme in SCHEMES.items())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"scheme": "prunne"}, "did you mean 'prune'"),
        ({"scheme": "prune", "densty": 0.1}, "did you mean 'density'"),
        ({"scheme": 3}, "unknown scheme 3"),
        ({"scheme": ["prune"]}, "unknown scheme"),
        ({"scheme": "cast", "dtype": "float61"}, "did you mean 'float16'"),
    ],
)
def test_unknown_names_come_with_the_nearest(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        from_dict(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"scheme": "prune"}, "'prune' needs density"),
        ({"scheme": "prune", "density": 0}, r"plan\.yaml: prune: density = 0 is not in \(0, 1\]"),
        ({"scheme": "prune", "density": 1.5}, "density = 1.5"),
        ({"scheme": "prune", "density": "1e-2"}, "density = '1e-2'"),
        ({"scheme": "low-rank", "rank": 0}, "low-rank: rank = 0 is not an integer >= 1"),
        ({"scheme": "low-rank", "rank": 2, "conv": "x"}, "accepted is 'channel' or 'spatial'"),
        ({"scheme": "codebook", "k": 2.5}, "k = 2.5"),
        ({"scheme": "compose", "of": []}, "compose needs at least 1"),
        ({"scheme": "compose", "of": 5}, "expected a list of schemes, not 5"),
        ({"scheme": "compose", "of": "prune"}, "expected a list of schemes"),
        ({"scheme": "compose", "of": {"scheme": "dense"}}, "expected a list of schemes"),
        ({"scheme": "compose", "of": [3]}, r"plan\.yaml\.of\[0\]: a scheme is a mapping"),
        ({"scheme": "additive", "of": [{"scheme": "dense"}]}, "at least 2"),
        ({"density": 0.1}, "with the key 'scheme'"),
        ("prune", "a scheme is a mapping"),
        (None, "a scheme is a mapping"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(data: Any, message: str) -> None:
    with pytest.raises(SchemeError, match=message) as caught:
        from_dict(data, where="plan.yaml")
    assert "plan.yaml" in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(SCHEMES)), st.data())
def test_any_json_is_a_scheme_or_one_clear_error(name: str, data: st.DataObject) -> None:
    keys = ["density", "k", "rank", "conv", "dtype", "of", "tolerance", "max_sweeps"]
    fields = data.draw(st.dictionaries(st.sampled_from(keys), json_values, max_size=3))
    try:
        scheme = from_dict({"scheme": name, **fields})
    except AutocompressError:
        return
    assert scheme.name == name

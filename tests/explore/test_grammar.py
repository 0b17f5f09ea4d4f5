import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.grammar import parse, unique
from autocompress.explore.ranges import Choice, Constant, Range, Record
from tests.explore.toys import Random, Replay

NUMBERS = st.floats(0.001, 1000)
RANGES = st.builds(
    lambda a, b, log: {"low": min(a, b), "high": max(a, b), "log": log},
    NUMBERS,
    NUMBERS,
    st.booleans(),
)
SCALARS = st.one_of(st.booleans(), st.text(max_size=4), st.floats(2, 9), st.none())
TREES = st.recursive(
    SCALARS | RANGES,
    lambda inner: (
        st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3)
        | st.lists(RANGES, min_size=1, max_size=3).map(lambda items: {"choice": items})
    ),
    max_leaves=6,
)


@given(TREES, st.integers(0, 99))
def test_any_tree_is_stored_whole_and_replayed_from_its_parameters(data, seed):
    node = parse(data, "f")
    assert parse(node.to_data(), "f") == node
    chooser = Random(seed)
    value = node.sample(chooser, "x")
    assert node.sample(Replay(chooser.params), "x") == value


def test_each_form_becomes_its_node():
    node = parse(
        {
            "k": {"low": 2, "high": 64, "log": True},
            "d": {"low": 0, "high": 1},
            "forced": {"low": 1, "high": 4, "type": "int"},
            "loose": {"choice": [1, "two"]},
            "betas": [0.9, 0.99],
        },
        "f",
        integers={"k"},
    )
    assert node == Record(
        (
            ("k", Range(2, 64, log=True, integer=True)),
            ("d", Range(0, 1)),
            ("forced", Range(1, 4, integer=True)),
            ("loose", Choice(((1, Constant(1)), ("two", Constant("two"))))),
            ("betas", Constant([0.9, 0.99])),
        )
    )


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"a": {"low": 1}}, ConfigError, r"f\.a: the key 'high' is missing"),
        ({"a": {"low": 1, "hihg": 2}}, UnknownName, r"f\.a: .*did you mean 'high'"),
        ({"a": {"low": 1, "high": 0}}, ConfigError, r"f\.a: low = 1 is above high = 0"),
        ({"a": {"low": 1, "high": 2, "type": "real"}}, ConfigError, r"f\.a\.type = 'real'"),
        ({"a": {"choice": []}}, ConfigError, r"f\.a\.choice = \[\]: accepted is a list of at"),
        ({"a": {"choice": "abc"}}, ConfigError, r"f\.a\.choice = 'abc'"),
        ({"a": {"choice": [1, 1]}}, ConfigError, r"f\.a\.choice: 1 is there twice"),
        ({"a": {"choice": [[1], 2]}}, ConfigError, r"f\.a\.choice\[0\] = \[1\]: a list cannot"),
        ({"a": {"choice": [1], "log": True}}, UnknownName, "log"),
    ],
)
def test_errors_name_place_key_and_value(data, error, message):
    with pytest.raises(error, match=message):
        parse(data, "f")


def test_choices_of_several_mappings_get_distinct_labels():
    node = parse({"choice": [{"low": 1, "high": 2}, {"low": 5, "high": 6}, {"method": "lc"}]}, "f")
    assert [label for label, _ in node.options] == ["range", "range2", "lc"]
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a2", "a3"]

import pytest

from autocompress.compression import Prune
from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.rules import Rule
from tests.explore.toys import LAYERS

PRUNE = Prune(0.5)
# weights: conv1 36, conv2 288, fc1 512, fc2 160


def names(**predicates):
    rule = Rule("*", [PRUNE], **predicates)
    assert Rule.from_dict(rule.to_dict()) == rule
    return [layer.name for layer in rule.select(LAYERS, "s.yaml: layers[0]")]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, ["conv1"]),
        (-1, ["fc2"]),
        ([0, -1], ["conv1", "fc2"]),
        ([2], ["fc1"]),
        ({"min": 1}, ["conv2", "fc1", "fc2"]),
        ({"max": -2}, ["conv1", "conv2", "fc1"]),
        ({"min": 1, "max": -2}, ["conv2", "fc1"]),
        ({"min": -2, "max": 9}, ["fc1", "fc2"]),
        ({"min": 7}, []),
    ],
)
def test_positions_select_and_negative_ones_count_from_the_end(index, expected):
    assert names(index=index) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"min": 200}, ["conv2", "fc1"]),
        ({"max": 160}, ["conv1", "fc2"]),
        ({"min": 160, "max": 288}, ["conv2", "fc2"]),
        ({"min": 513}, []),
    ],
)
def test_sizes_are_numbers_of_weights_both_ends_included(size, expected):
    assert names(size=size) == expected


def test_all_predicates_must_hold():
    assert names(kind="linear", index={"min": 1}, size={"max": 200}) == ["fc2"]
    assert names(kind="linear", index={"min": 1}, size={"max": 200}, last=False) == []


def test_a_position_the_model_does_not_have_is_an_error():
    message = r"s\.yaml: layers\[0\]\.index = 4: the model has 4 layers: accepted is -4 to 3"
    with pytest.raises(ConfigError, match=message):
        names(index=4)
    with pytest.raises(ConfigError, match=r"index = -5"):
        names(index=[0, -5])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"index": "0"}, ConfigError, r"f\.index = '0': accepted is an integer, a list of them or"),
        ({"index": []}, ConfigError, r"f\.index = \[\]"),
        ({"index": [0, 1.5]}, ConfigError, r"f\.index = \[0, 1\.5\]"),
        ({"index": True}, ConfigError, r"f\.index = True"),
        ({"index": {}}, ConfigError, r"f\.index = \{\}: accepted is min, max or both"),
        ({"index": {"mn": 1}}, UnknownName, r"f\.index: unknown key 'mn': did you mean 'min'"),
        ({"index": {"min": 3, "max": 1}}, ConfigError, r"f\.index: min = 3 is above max = 1"),
        ({"size": 1000}, ConfigError, r"f\.size = 1000: accepted is \{min, max\}"),
        ({"size": {"min": 1e3}}, ConfigError, r"f\.size\.min = 1000\.0: accepted is an integer"),
        ({"size": {"min": -1}}, ConfigError, r"f\.size\.min = -1"),
        ({"size": {"min": 9, "max": 3}}, ConfigError, r"f\.size: min = 9 is above max = 3"),
    ],
)
def test_errors_name_place_key_and_value(changes, error, message):
    with pytest.raises(error, match=message):
        Rule("*", [PRUNE], **changes, where="f")

import pytest

from autocompress.errors import ConfigError
from autocompress.explore.grammar import parse
from autocompress.explore.ranges import Choice, Constant, Listing, Range, Record
from tests.explore.toys import Random, Replay


class Asked:
    """A chooser that notes what it is asked."""

    def __init__(self):
        self.calls = []

    def suggest_float(self, name, low, high, *, step=None, log=False):
        self.calls.append(("float", name, low, high, step, log))
        return low

    def suggest_int(self, name, low, high, *, step=1, log=False):
        self.calls.append(("int", name, low, high, step, log))
        return high

    def suggest_categorical(self, name, choices):
        self.calls.append(("choice", name, *choices))
        return choices[-1]


def test_ranges_ask_for_exactly_what_they_say():
    asked = Asked()
    assert Range(1, 3).sample(asked, "a") == 1.0
    assert Range(0.5, 2, log=True).sample(asked, "b") == 0.5
    assert Range(2, 8, step=2, integer=True).sample(asked, "c") == 8
    assert asked.calls == [
        ("float", "a", 1.0, 3.0, None, False),
        ("float", "b", 0.5, 2.0, None, True),
        ("int", "c", 2, 8, 2, False),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "low = 2 is above high = 1"),
        ((0, 1, True), "low = 0 with log: accepted is a number above 0"),
        ((-1, 1, True), "above 0"),
        ((1, 2, True, 1), "one of the two"),
        ((0, 1, False, 0), "step = 0: accepted is a number above 0"),
        ((0, 1, False, 0.3), "step = 0.3 does not lead from low = 0 to high = 1"),
        (("1", 2), "low = '1' is not a finite number"),
        ((0, float("inf")), "high = inf is not a finite number"),
        ((True, 2), "low = True is not"),
        ((0, 1, "yes"), "log = 'yes': accepted is true or false"),
        ((0.5, 2, False, None, True), "low = 0.5 is not an integer"),
    ],
)
def test_what_is_no_range_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Range(*arguments)


def test_a_step_that_only_rounding_separates_from_the_end_is_fine():
    assert Range(0.0, 0.3, step=0.1).step == 0.1


def test_choices_are_picked_by_label_and_may_hold_ranges():
    node = parse({"choice": ["auto", {"name": "sgd", "lr": {"low": 0.1, "high": 1}}]}, "f")
    asked = Asked()
    assert node.sample(asked, "optimizer") == {"name": "sgd", "lr": 0.1}
    assert asked.calls == [
        ("choice", "optimizer", "auto", "sgd"),
        ("float", "optimizer.sgd.lr", 0.1, 1.0, None, False),
    ]
    assert node.sample(Replay({"optimizer": "auto"}), "optimizer") == "auto"


def test_a_single_choice_asks_nobody():
    asked = Asked()
    assert parse({"choice": [3]}, "f").sample(asked, "x") == 3
    assert asked.calls == []


def test_corners_reach_every_end_and_every_choice_one_field_at_a_time():
    node = parse({"a": {"low": 1, "high": 2}, "b": {"choice": ["x", "y"]}, "c": 5}, "f")
    assert list(node.corners()) == [
        {"a": 1.0, "b": "x", "c": 5},
        {"a": 2.0, "b": "x", "c": 5},
        {"a": 1.0, "b": "y", "c": 5},
    ]
    listing = Listing((("p", Range(0, 1)), ("q", Constant(7))))
    assert list(listing.corners()) == [[0.0, 7], [1.0, 7]]


def test_sampled_values_are_named_by_their_place():
    node = Record((("mu", Record((("start", Range(1, 2)),))),))
    chooser = Random()
    node.sample(chooser, "recipe")
    node.sample(chooser, "")
    assert list(chooser.params) == ["recipe.mu.start", "mu.start"]


def test_labels_with_lists_in_them_round_trip_through_choices():
    node = Choice((("a", Constant("a")), ("range", Range(1, 2, integer=True))))
    assert parse(node.to_data(), "f") == node

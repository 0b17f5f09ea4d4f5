import json
import math

import pytest

from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.objectives import Objective, Objectives

REFERENCE = {"accuracy": 0.98, "bytes": 1000.0, "loss": 0.1}


def make(**changes):
    size = {"metric": "bytes", "direction": "minimize", "scale": "log"} | changes
    return Objectives("test", (Objective("accuracy", "maximize"), Objective(**size)))


def test_worst_words_become_the_numbers_they_stand_for():
    resolved = make().resolve(REFERENCE, classes=10)
    assert [item.worst for item in resolved.items] == [0.1, 1000.0]
    assert resolved.resolved
    assert not make().resolved
    assert resolved.reference_point() == pytest.approx((-0.1, 3.0))
    assert Objectives("l", (Objective("loss", "minimize"),)).resolve(
        REFERENCE, 10
    ).reference_point() == pytest.approx((math.log(10),))


def test_resolving_again_changes_nothing():
    once = make().resolve(REFERENCE, classes=10)
    assert once.resolve({"accuracy": 0.5, "bytes": 1.0}, classes=2) == once


def test_an_unresolved_reference_point_is_refused():
    with pytest.raises(ConfigError, match="resolve"):
        make().reference_point()


def test_points_are_minimised_coordinates():
    assert make().to_minimize({"accuracy": 0.9, "bytes": 100.0}) == pytest.approx((-0.9, 2.0))


@pytest.mark.parametrize(
    "metrics",
    [
        {"accuracy": 0.9},
        {"accuracy": math.nan, "bytes": 1.0},
        {"accuracy": 0.9, "bytes": math.inf},
        {"accuracy": 0.9, "bytes": 0.0},
    ],
)
def test_what_cannot_be_ranked_is_no_point(metrics):
    assert make().to_minimize(metrics) is None


def test_limits_are_relative_and_in_the_objectives_direction():
    objectives = make(limit=100.0).with_limits({"accuracy": 0.8})
    metrics = {"accuracy": 0.6, "bytes": 150.0}
    assert objectives.violations(metrics) == pytest.approx({"accuracy": 0.25, "bytes": 0.5})
    kept = {"accuracy": 0.8, "bytes": 50.0}
    assert objectives.violations(kept) == {}
    assert objectives.constraints(kept) == pytest.approx({"accuracy": 0.0, "bytes": -0.5})
    assert objectives.constraints({"bytes": 100.0}) == {"bytes": 0.0}
    assert make().constraints(metrics) == {}


def test_json_round_trip():
    for objectives in (make(limit=5.0), make().resolve(REFERENCE, 10)):
        assert Objectives.from_dict(json.loads(json.dumps(objectives.to_dict()))) == objectives


def test_an_objective_without_direction_says_what_to_add():
    data = {"objectives": [{"metric": "bytes"}]}
    with pytest.raises(ConfigError, match=r"x\.yaml.*'bytes' has no direction.*minimize"):
        Objectives.from_dict(data, where="x.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "up"}, "direction = 'up': accepted is 'minimize' or 'maximize'"),
        ({"scale": "sqrt"}, "scale = 'sqrt'"),
        ({"worst": "chance"}, "only has a meaning for accuracy"),
        ({"worst": "best"}, "or a number"),
        ({"worst": 0}, "above 0"),
        ({"limit": math.nan}, "finite"),
        ({"limit": "20KB"}, "not a number"),
        ({"limit": True}, "not a number"),
        ({"metric": ""}, "is a name"),
    ],
)
def test_values_that_cannot_be_used_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_sets_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="at least one"):
        Objectives("none", ())
    with pytest.raises(ConfigError, match="twice"):
        Objectives("two", (Objective("bytes", "minimize"), Objective("bytes", "maximize")))
    with pytest.raises(UnknownName, match="did you mean 'direction'"):
        Objective.from_dict({"metric": "a", "direction": "minimize", "directon": 1})
    with pytest.raises(UnknownName, match="did you mean 'bytes'"):
        Objectives("typo", (Objective("byte", "minimize"),)).resolve(REFERENCE, 10)
    with pytest.raises(UnknownName, match="accuracy, bytes"):
        make().with_limits({"latency": 1.0})
    with pytest.raises(ConfigError, match="list"):
        Objectives.from_dict({"objectives": "accuracy"})
    with pytest.raises(ConfigError, match="above 0"):
        make().resolve({"accuracy": 1.0, "bytes": 0.0}, 10)

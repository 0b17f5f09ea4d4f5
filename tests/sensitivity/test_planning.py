import pytest

from autocompress.layers import find_layers
from autocompress.sensitivity import planning
from autocompress.sensitivity.planning import begin


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(planning, "FEWEST", 50)
    monkeypatch.setattr(planning, "SAMPLES", 60)


def test_what_is_asked_for_is_done(toy, digits, digits_cnn, few):
    assert begin("none", toy, digits_cnn, digits, 100).seeds == []
    uniform = begin("uniform", toy, digits_cnn, digits, 100)
    assert {seed.origin for seed in uniform.seeds} == {"uniform"}
    assert uniform.table is None
    told = []
    measured = begin("sensitivity", toy, digits_cnn, digits, 8, say=told.append)
    assert measured.seeds[0].origin == "knapsack"
    assert measured.table.groups == tuple(g.name for g in toy.groups(find_layers(digits_cnn)))
    assert told[0].startswith("measuring sensitivities: ")
    assert len(told) <= 11


def test_auto_measures_where_that_is_cheap(toy, digits, digits_cnn, few, monkeypatch):
    found = begin("auto", toy, digits_cnn, digits, 40)
    assert found.seeds[0].origin == "knapsack"
    assert found.table.samples == 60
    assert begin("auto", toy, digits_cnn, digits, 40) == found
    assert "only 15 trials" in begin("auto", toy, digits_cnn, digits, 15).reason
    monkeypatch.setattr(planning, "SHARE", 1e-4)
    assert "too long" in begin("auto", toy, digits_cnn, digits, 40).reason
    monkeypatch.setattr(planning, "MOST", 3)
    assert "choices to measure" in begin("auto", toy, digits_cnn, digits, 40).reason

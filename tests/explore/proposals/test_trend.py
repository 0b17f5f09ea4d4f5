import math

import numpy as np
import pytest

from autocompress.explore.proposals.trend import Requirement, Trend


def test_margins_are_zero_at_the_bound_and_rise_with_what_is_better():
    accuracy = Requirement("accuracy", True, 0.97, fraction=True)
    loss = Requirement("loss", False, 0.1)
    for requirement, values in ((accuracy, (0.1, 0.9, 0.97, 0.98, 1.0)), (loss, (5, 0.2, 0.1, 0))):
        margins = [requirement.margin(value) for value in values]
        assert margins == sorted(margins)
        assert requirement.margin(requirement.bound) == pytest.approx(0, abs=1e-12)
        assert all(-1 <= margin <= 1 for margin in margins)
        assert [requirement.met(value) for value in values] == [margin >= 0 for margin in margins]
        assert requirement.margin(math.nan) == -1
        assert not requirement.met(math.nan)


def test_a_bound_that_is_not_positive_has_margins_too():
    requirement = Requirement("score", True, 0.0)
    assert requirement.margin(-1) < requirement.margin(0) == 0 < requirement.margin(1)


def test_a_trend_goes_through_what_it_has_seen_and_is_unsure_elsewhere():
    at = np.array([0.0, 1.0, 2.0])
    margins = np.array([-0.6, 0.0, 0.2])
    trend = Trend.fit(at, margins, np.zeros(3), centre=1.0)
    mean, variance = trend.predict(at)
    assert mean == pytest.approx(margins, abs=0.03)
    _, between = trend.predict(np.array([0.5, 4.0]))
    assert between[1] > between[0] > variance[1] * 0.9
    _, aside = trend.predict(at, off=True)
    assert (aside > variance).all()


def test_before_anything_is_seen_the_margin_rises_through_zero_at_the_centre():
    none = np.array([])
    trend = Trend.fit(none, none, none, centre=3.0)
    mean, variance = trend.predict(np.array([2.0, 3.0, 4.0]))
    assert mean[0] < mean[1] < mean[2]
    assert mean[1] == pytest.approx(0)
    assert (variance > 0.05).all()


def test_noise_is_learnt():
    rng = np.random.default_rng(0)
    at = np.linspace(0, 2, 30)
    line = 0.3 * (at - 1)
    calm = Trend.fit(at, line, np.zeros(30), 1.0)
    wild = Trend.fit(at, line + 0.15 * rng.standard_normal(30), np.zeros(30), 1.0)
    assert calm.noise <= 0.02 < 0.08 <= wild.noise

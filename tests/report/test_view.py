import math

import pytest

from autocompress.report.view import view_range


def show(core, rest=(), *, log=False, whole=False, most=None):
    return view_range(core, rest, log, whole=whole, most=most)


def test_the_core_is_shown_with_a_margin():
    assert show([0.0, 1.0]) == pytest.approx((-0.06, 1.06))
    assert show([1.0, 100.0], log=True) == pytest.approx((10**-0.12, 10**2.12))


def test_near_points_widen_the_view_and_far_ones_do_not():
    low, high = show([0.0, 1.0], [-0.5, -40.0, 1.7, 3.0])
    assert low == pytest.approx(-0.5 - 0.06 * 2.2)
    assert high == pytest.approx(1.7 + 0.06 * 2.2)


def test_the_whole_is_shown_when_asked():
    low, high = show([0.0, 1.0], [-40.0], whole=True)
    assert low < -40
    assert high > 1


def test_a_percentage_does_not_go_far_beyond_100():
    low, high = show([0.4, 0.99], most=1.0)
    assert low < 0.4
    assert 1.0 <= high < 1.01


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("core", [[], [5.0], [5.0, 5.0]])
def test_few_points_still_give_an_axis(core, log):
    low, high = show(core, log=log)
    assert math.isfinite(low)
    assert low < high
    assert all(low < value < high for value in core)


def test_zero_alone_gives_an_axis():
    low, high = show([0.0])
    assert low < 0 < high

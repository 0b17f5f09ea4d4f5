import numpy as np

from autocompress.explore.proposals.regression import Regression

X = np.linspace(0, 1, 30)[:, None]
Y = np.sin(4 * X[:, 0])


def test_it_learns_a_smooth_function_and_is_unsure_far_from_it():
    mean, std = Regression(X, Y).predict(np.array([[0.5], [0.013], [9.0]]))
    assert np.allclose(mean[:2], np.sin([2.0, 0.052]), atol=0.05)
    assert std[2] > 3 * std[0]


def test_what_is_unsure_counts_for_little():
    wrong = Y.copy()
    wrong[15] += 3.0
    spread = np.zeros(30)
    spread[15] = 10.0
    at = X[15:16]
    misled = abs(Regression(X, wrong).predict(at)[0] - Y[15])
    told = abs(Regression(X, wrong, spread).predict(at)[0] - Y[15])
    assert told < 0.1 < misled


def test_many_points_are_all_learnt_from():
    x = np.random.default_rng(0).random((260, 1))
    spread = np.zeros(260)
    mean, _ = Regression(x, np.cos(3 * x[:, 0]), spread).predict(np.array([[0.3]]))
    assert np.allclose(mean, np.cos(0.9), atol=0.05)


def test_values_that_are_all_alike():
    mean, std = Regression(X, np.ones(30), np.full(30, 0.1)).predict(X[:2])
    assert np.allclose(mean, 1)
    assert np.isfinite(std).all()

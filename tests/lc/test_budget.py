"""What an L step may do."""

from __future__ import annotations

import pytest

from autocompress.lc.budget import ENOUGH, epochs, l_step, learning_rate
from autocompress.recipe import LC, SGD, Adam


def test_learning_rate_decays_and_stays_below_one_over_mu() -> None:
    recipe = LC(optimizer=SGD(lr=0.1), lr_decay=0.5)
    assert learning_rate(recipe, 0, 1e-3) == pytest.approx(0.1)
    assert learning_rate(recipe, 2, 1e-3) == pytest.approx(0.025)
    assert learning_rate(recipe, 0, 100.0) == pytest.approx(0.01)
    # Adam's step does not scale with the gradient: nothing to clip
    assert learning_rate(LC(optimizer=Adam(lr=0.1)), 0, 100.0) == pytest.approx(0.1)


def test_automatic_epochs_make_enough_iterations() -> None:
    assert epochs(LC(), 3, 10 * ENOUGH) == 1
    assert epochs(LC(), 3, 1) == ENOUGH
    assert epochs(LC(), 0, 7) * 7 >= ENOUGH > (epochs(LC(), 0, 7) - 1) * 7


def test_the_first_l_step_may_be_longer() -> None:
    recipe = LC(first_step_epochs=5, epochs_per_step=2)
    assert [l_step(recipe, step, 1.0, 1).epochs for step in range(3)] == [5, 2, 2]

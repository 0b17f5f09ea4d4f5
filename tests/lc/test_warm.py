"""Warm starts: what the loop makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress import lc
from autocompress.data import Data
from autocompress.errors import ModelError, PackedFileError
from autocompress.storage import warm as files

RECIPE = ac.LC(
    mu=ac.MuSchedule(start=1e-2, factor=1.5, steps=3), optimizer=ac.SGD(lr=0.05), batch_size=64
)


def plan(density: float) -> ac.Plan:
    return ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density=density))])


@pytest.fixture(scope="module")
def warm(digits: Data, digits_cnn: nn.Module, tmp_path_factory) -> lc.Warm:
    state = tmp_path_factory.mktemp("warm") / "state"
    ac.compress(digits_cnn, plan(0.08), RECIPE, digits, checkpoint=state)
    files.keep(state, state.with_name("warm"))
    return files.load(state.with_name("warm"), digits_cnn)


def test_step_0_projects_the_warm_weights(warm, digits, digits_cnn):
    cold = ac.compress(digits_cnn, plan(0.08), RECIPE, digits).history[0]
    near = ac.compress(digits_cnn, plan(0.08), RECIPE, digits, warm=warm).history[0]
    assert near.violation < cold.violation / 2
    assert near.val_loss < cold.val_loss
    assert near.mu == 0.0


def test_the_reference_and_the_warm_start_are_left_alone(warm, digits, digits_cnn):
    before = {k: v.clone() for k, v in digits_cnn.state_dict().items()}
    digest = warm.digest()
    ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=warm)
    assert all(torch.equal(v, before[k]) for k, v in digits_cnn.state_dict().items())
    assert warm.digest() == digest


def test_multipliers_keep_the_shift_they_made(warm):
    name = next(iter(warm.multipliers))
    half = warm.scaled([name, "nothing"], warm.mu / 2)
    assert list(half) == [name]
    assert torch.equal(half[name], warm.multipliers[name] * 0.5)
    assert torch.equal(warm.scaled([name], 2 * warm.mu)[name], warm.multipliers[name])


def test_direct_compression_and_the_dense_plan_take_no_notice(warm, digits, digits_cnn):
    for what, how in ((plan(0.1), ac.Direct()), (plan(1.0), RECIPE)):
        cold = ac.compress(digits_cnn, what, how, digits)
        same = ac.compress(digits_cnn, what, how, digits, warm=warm)
        state = cold.model.state_dict()
        assert all(torch.equal(v, state[k]) for k, v in same.model.state_dict().items())


def test_the_quadratic_penalty_keeps_no_multipliers(warm, digits, digits_cnn, tmp_path):
    recipe = RECIPE.model_copy(update={"penalty": "quadratic"})
    state = tmp_path / "state"
    ac.compress(digits_cnn, plan(0.08), recipe, digits, checkpoint=state, warm=warm)
    files.keep(state, tmp_path / "warm")
    assert files.load(tmp_path / "warm", digits_cnn).multipliers == {}


def test_a_checkpoint_belongs_to_its_warm_start(warm, digits, digits_cnn, tmp_path):
    path = tmp_path / "state"
    whole = ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=warm)
    ac.compress(
        digits_cnn, plan(0.05), RECIPE, digits, warm=warm, checkpoint=path,
        on_step=lambda record: record.step == 1,
    )  # fmt: skip
    with pytest.raises(PackedFileError, match="another plan"):
        ac.compress(digits_cnn, plan(0.05), RECIPE, digits, checkpoint=path)
    parts = ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=warm, checkpoint=path)
    ours, theirs = parts.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_another_models_warm_start_is_refused(warm, digits, digits_cnn):
    odd = lc.Warm({**warm.weights, "extra": torch.zeros(1)})
    with pytest.raises(ModelError, match="'extra' is in one"):
        ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=odd)
    name = "fc2.weight"
    odd = lc.Warm({**warm.weights, name: warm.weights[name][:1]})
    with pytest.raises(ModelError, match="another shape"):
        ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=odd)
    odd = lc.Warm({**warm.weights, name: warm.weights[name] * torch.nan})
    with pytest.raises(ModelError, match="not finite"):
        ac.compress(digits_cnn, plan(0.05), RECIPE, digits, warm=odd)

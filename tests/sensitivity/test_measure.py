import math

import pytest
import torch

from autocompress.api import compress
from autocompress.errors import ConfigError
from autocompress.evaluation import evaluate
from autocompress.layers import find_layers
from autocompress.plan import Plan
from autocompress.recipe import Direct
from autocompress.sensitivity import make_picks, measure
from tests.explore.toys import space


def test_rows_are_direct_compressions_of_one_group(table, toy, digits, digits_cnn):
    picks = make_picks(toy, find_layers(digits_cnn), levels=4)
    reference = evaluate(digits_cnn, digits.val)
    assert table.reference_loss == pytest.approx(reference.loss, abs=1e-6)
    assert [row.params for row in table.rows] == [pick.params for pick in picks]
    for pick, row in list(zip(picks, table.rows, strict=True))[::5]:
        found = compress(digits_cnn, Plan(pick.tasks), Direct(), digits)
        after = evaluate(found.model, digits.val)
        assert row.loss == pytest.approx(after.loss - reference.loss, abs=1e-6)
        assert row.accuracy == pytest.approx(after.accuracy - reference.accuracy, abs=1e-9)


def test_bits_count_the_whole_group_and_the_rest(table, toy, digits_cnn):
    layers = find_layers(digits_cnn)
    whole = sum(8 * t.numel() * t.element_size() for t in digits_cnn.state_dict().values())
    groups = toy.groups(layers)
    weights = sum(32 * math.prod(x.shape) for g in groups for x in g.layers)
    assert table.rest_bits == whole - weights
    dense = next(row for row in table.rows if row.label == "dense")
    assert dense.loss == 0
    assert dense.bits == 32 * math.prod(groups[0].layers[0].shape)


def test_structured_schemes_count_the_vectors_of_their_channels(digits, digits_cnn):
    text = """
    layers:
      - match: conv2
        schemes:
          - {scheme: dense}
          - {scheme: structure-prune, density: {low: 0.25, high: 0.5}}
    """
    table = measure(digits_cnn, digits, space(text), levels=2, samples=100)
    dense, quarter, half = (row.bits for row in table.rows)
    assert quarter < half < 0.55 * dense
    assert table.samples == 100


def test_the_model_and_the_random_generators_are_left_alone(digits, digits_cnn):
    before = {k: v.clone() for k, v in digits_cnn.state_dict().items()}
    state = torch.get_rng_state()
    calls = []
    text = "layers: [{match: fc1, schemes: [{scheme: codebook, k: {low: 2, high: 3}}]}]"
    measure(digits_cnn, digits, space(text), samples=50, progress=lambda *x: calls.append(x))
    assert calls == [(1, 2), (2, 2)]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in digits_cnn.state_dict().items())


def test_a_few_steps_take_back_some_of_the_loss(digits, digits_cnn):
    text = "layers: [{match: '*', share: true, schemes: [{scheme: prune, density: 0.1}]}]"
    (row,) = measure(digits_cnn, digits, space(text), samples=400, steps=2).rows
    assert row.loss > 0.1
    assert row.cost == row.loss_after < row.loss
    assert row.accuracy_after > row.accuracy


def test_a_loss_that_is_not_finite_is_an_infinite_one(digits, digits_cnn):
    def broken(outputs, labels):
        return torch.tensor(float("nan"))

    text = "layers: [{match: fc1, schemes: [{scheme: prune, density: 0.5}]}]"
    table = measure(digits_cnn, digits, space(text), samples=50, loss=broken)
    assert not math.isfinite(table.rows[0].loss)


@pytest.mark.parametrize("setting", [{"samples": 0}, {"steps": -1}, {"levels": 1}])
def test_settings_that_make_no_sense(digits, digits_cnn, toy, setting):
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} = "):
        measure(digits_cnn, digits, toy, **setting)

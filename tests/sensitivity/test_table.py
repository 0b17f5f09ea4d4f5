import json
import math
import random

import pytest

from autocompress.errors import ConfigError, UnknownName
from autocompress.layers import find_layers
from autocompress.sensitivity import Row, Sensitivity
from tests.explore.toys import Random


def test_the_json_form_is_read_back(table):
    again = Sensitivity.from_dict(json.loads(json.dumps(table.to_dict(), allow_nan=False)))
    assert again == table


def test_what_is_not_finite_is_null_in_json():
    row = Row("fc1", "prune", {}, math.inf, math.nan, 8.0, math.inf, 0.5)
    text = json.dumps(row.to_dict(), allow_nan=False)
    again = Row.from_dict(json.loads(text))
    assert again.loss == again.loss_after == again.cost == math.inf
    assert math.isnan(again.accuracy)


def test_the_frame_has_a_row_for_each_pick(table):
    frame = table.to_frame()
    assert len(frame) == len(table.rows)
    assert list(frame.columns) == ["group", "label", "params", "loss", "accuracy", "bits"]


def test_rows_are_found_by_group_and_parameters(table):
    row = table.rows[7]
    assert table.row(row.group, row.params | {"recipe.mu.steps": 3}) is row
    with pytest.raises(UnknownName, match="did you mean"):
        table.of("conv11")
    with pytest.raises(ConfigError, match="no row has the parameters"):
        table.row(row.group, {})


def test_a_candidate_of_measured_picks_is_the_sum_of_their_rows(table):
    rng = random.Random(0)
    for _ in range(20):
        rows = [rng.choice(table.of(group)) for group in table.groups]
        params = {key: value for row in rows for key, value in row.params.items()}
        assert table.predict(params) == pytest.approx(sum(row.loss for row in rows))
        bits = table.rest_bits + sum(row.bits for row in rows)
        assert table.predict_bits(params) == pytest.approx(bits)


def test_any_candidate_of_the_space_is_predicted(table, toy, digits_cnn):
    for seed in range(30):
        chooser = Random(seed)
        toy.sample(chooser, find_layers(digits_cnn))
        assert math.isfinite(table.predict(chooser.params))


def test_a_choice_that_is_not_in_the_table_is_an_error(table):
    params = {key: value for g in table.groups for key, value in table.of(g)[0].params.items()}
    scheme = f"{table.groups[0]}.scheme"
    with pytest.raises(ConfigError, match="known are 'dense', 'prune'"):
        table.predict(params | {scheme: "codebook"})
    with pytest.raises(ConfigError, match=r"density' is missing"):
        table.predict(params | {scheme: "prune", "conv1.prune.weighting": "identity"})

import json

import pytest

from autocompress.api import compress
from autocompress.evaluation import evaluate
from autocompress.explore.choosers import Fixed
from autocompress.layers import find_layers
from autocompress.plan import Plan
from autocompress.recipe import Direct
from autocompress.sensitivity.pairs import measure_pairs, most_sensitive


def test_an_interaction_is_what_the_sum_misses(table, toy, digits, digits_cnn):
    pairs = measure_pairs(table, digits_cnn, digits, toy, most=3)
    assert len(pairs) == 3
    sizes = [abs(pair.interaction) for pair in pairs]
    assert sizes == sorted(sizes, reverse=True)
    pair = pairs[0]
    groups = {group.name: group for group in toy.groups(find_layers(digits_cnn))}
    rows = (pair.first, pair.second)
    tasks = [t for row in rows for t in groups[row.group].sample(Fixed(row.params, None))]
    found = compress(digits_cnn, Plan(tasks), Direct(), digits)
    change = evaluate(found.model, digits.val).loss - table.reference_loss
    assert pair.loss == pytest.approx(change, abs=1e-6)
    assert pair.interaction == pytest.approx(change - sum(row.loss for row in rows), abs=1e-6)
    assert json.dumps(pair.to_dict(), allow_nan=False)


def test_one_group_has_no_pairs(table, toy, digits, digits_cnn):
    assert measure_pairs(table, digits_cnn, digits, toy, most=1) == []


def test_the_most_sensitive_groups_come_first(table):
    names = most_sensitive(table)
    assert sorted(names) == sorted(table.groups)
    limit = table.chance

    def mean(group):
        rows = table.of(group)
        return sum(min(row.loss, limit) for row in rows) / len(rows)

    assert mean(names[0]) == max(map(mean, names))

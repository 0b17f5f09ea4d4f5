import math

import numpy as np
from optuna.distributions import FloatDistribution

from autocompress.report.heatmap import heatmap, heatmap_info
from autocompress.report.style import render
from autocompress.sensitivity.table import Row, Sensitivity


def table():
    rows = [Row("fc1", "dense", {}, 0.0, 0.0, 320.0)]
    for group, losses in (("fc1", (2.0, math.inf, -0.1)), ("fc2", (0.3, 0.2))):
        for i, loss in enumerate(losses):
            rows.append(Row(group, "prune", {f"{group}.p": i}, loss, 0.0, 10.0 * (i + 1)))
    domains = {f"{group}.p": FloatDistribution(0, 2) for group in ("fc1", "fc2")}
    return Sensitivity(tuple(rows), domains, 0.1, 0.9, 0.0, 10, 100)


def test_rows_are_groups_and_blocks_are_options():
    info = heatmap_info(table())
    assert info.groups == ("fc1", "fc2")
    assert info.blocks == (("dense", 1), ("prune", 3))
    expected = [[0.0, 2.0, math.inf, -0.1], [math.nan, 0.3, 0.2, math.nan]]
    assert np.array_equal(info.values, expected, equal_nan=True)
    assert info.chance == math.log(10) - 0.1


def test_it_is_drawn_whatever_the_values_are():
    files = render(heatmap(table()), ("png", "pdf"))
    assert files["png"].startswith(b"\x89PNG")
    assert files["pdf"].startswith(b"%PDF")

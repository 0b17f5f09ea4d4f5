import json
import math

import pytest

from autocompress.explore.record import Status, TrialRecord
from autocompress.sensitivity.calibration import calibrate_direct, calibrate_trials


def test_the_guess_ranks_direct_compressions(table, toy, digits, digits_cnn):
    found = calibrate_direct(table, digits_cnn, digits, toy, candidates=15)
    assert found.candidates == 15
    assert 0.5 < found.spearman <= 1
    assert math.isfinite(found.error)
    assert found == calibrate_direct(table, digits_cnn, digits, toy, candidates=15)
    assert json.dumps(found.to_dict(), allow_nan=False)


def records(table, losses):
    rows = {group: sorted(table.of(group), key=lambda row: row.loss) for group in table.groups}
    for number, loss in enumerate(losses):
        chosen = [found[min(number, len(found) - 1)] for found in rows.values()]
        params = {k: v for row in chosen for k, v in row.params.items()}
        metrics = {"loss": loss, "accuracy": -loss}
        yield TrialRecord(number, Status.COMPLETE, metrics=metrics, params=params)


def test_finished_trials_are_ranked(table):
    found = calibrate_trials(table, records(table, [0.1, 0.2, 0.3, 0.4]))
    assert (found.spearman, found.candidates) == (pytest.approx(1), 4)
    assert math.isnan(found.error)
    upside_down = calibrate_trials(table, records(table, [0.4, 0.3, 0.2, 0.1]))
    assert upside_down.spearman == pytest.approx(-1)
    negated = calibrate_trials(table, records(table, [0.1, 0.2, 0.3]), "accuracy", sign=-1)
    assert negated.spearman == pytest.approx(1)


def test_too_little_to_rank_is_no_number(table):
    assert math.isnan(calibrate_trials(table, records(table, [0.1, 0.2])).spearman)
    assert math.isnan(calibrate_trials(table, records(table, [0.1] * 4)).spearman)
    other = [TrialRecord(0, Status.CRASHED), TrialRecord(1, Status.COMPLETE, metrics={"loss": 1.0})]
    assert calibrate_trials(table, other).candidates == 0

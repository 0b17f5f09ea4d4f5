import numpy as np
import pytest

from autocompress.analysis import Front, hypervolume_progress
from autocompress.explore.record import Status
from tests.analysis.records import ACCURACY_SIZE, record


def some_records(count, seed=0):
    generator = np.random.default_rng(seed)
    return [
        record(i, generator.uniform(0.05, 1), 10 ** generator.uniform(2, 7)) for i in range(count)
    ]


def test_each_value_is_the_hypervolume_of_the_trials_so_far():
    records = some_records(30)
    progress = hypervolume_progress(records[::-1], ACCURACY_SIZE)
    assert progress.numbers == tuple(range(30))
    for number, volume in zip(*progress, strict=True):
        front = Front.from_records(records[: number + 1], ACCURACY_SIZE)
        assert volume == pytest.approx(front.hypervolume())


def test_failed_trials_count_and_live_ones_do_not():
    records = [
        record(0, 0.9, 1e4, status=Status.CRASHED),
        record(1, 0.9, 1e4),
        record(2, 0.99, 1e3, status=Status.PRUNED),
        record(3, 0.99, 1e3, status=Status.RUNNING),
    ]
    progress = hypervolume_progress(records, ACCURACY_SIZE)
    assert progress.numbers == (0, 1, 2)
    assert progress.hypervolumes == pytest.approx((0.0, 1.6, 1.6))


def test_nothing_finished_has_no_progress():
    assert hypervolume_progress([], ACCURACY_SIZE) == ((), ())
    assert hypervolume_progress([record(0, status=Status.WAITING)], ACCURACY_SIZE) == ((), ())


def test_long_studies_are_thinned_to_points_that_are_exact():
    records = some_records(1000, seed=1)
    thin = hypervolume_progress(records, ACCURACY_SIZE, points=37)
    full = hypervolume_progress(records, ACCURACY_SIZE, points=1000)
    assert len(thin.numbers) == 37
    assert thin.numbers[-1] == 999
    exact = dict(zip(*full, strict=True))
    assert thin.hypervolumes == pytest.approx([exact[number] for number in thin.numbers])
    assert list(full.hypervolumes) == sorted(full.hypervolumes)

import math

import numpy as np
import pytest
from scipy import stats

from autocompress.analysis.front import Front
from autocompress.analysis.noise import contenders, measure_noise
from autocompress.explore.record import Status
from autocompress.explore.repeats import Repeat

from .records import ACCURACY_SIZE, record


def repeats(number, *pairs, status=Status.COMPLETE):
    return {
        number: tuple(
            Repeat(number, i + 1, i, status, {"accuracy": accuracy, "bytes": size})
            for i, (accuracy, size) in enumerate(pairs)
        )
    }


def front(*records):
    return Front.from_records(records, ACCURACY_SIZE)


RAN = {"folder": "trials/0000"}


def test_intervals_are_students_in_the_coordinates_of_the_objectives():
    chosen = front(record(0, 0.90, 1000.0))
    noise = measure_noise(chosen, repeats(0, (0.92, 1000.0), (0.91, 4000.0)))
    values = [0.90, 0.92, 0.91]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    spread = noise.spread(0, "accuracy")
    assert (spread.mean, spread.low, spread.high) == pytest.approx((0.91, low, high))
    logs = np.log10([1000.0, 1000.0, 4000.0])
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    spread = noise.spread(0, "bytes")
    assert spread.mean == pytest.approx(10 ** logs.mean())
    assert (spread.low, spread.high) == pytest.approx((10**low, 10**high))
    assert noise.seeds == {0: 3}
    assert noise.varies("accuracy")


def test_without_any_spread_an_interval_is_a_point():
    noise = measure_noise(front(record(0, 0.9, 777.0)), repeats(0, (0.9, 777.0)))
    spread = noise.spread(0, "bytes")
    assert spread.low == spread.high == spread.mean == pytest.approx(777.0)
    assert not noise.varies("bytes")
    assert noise.probability == {0: 1.0}


def test_accuracies_stay_between_0_and_1():
    noise = measure_noise(front(record(0, 0.99)), repeats(0, (0.2, 1e4)))
    spread = noise.spread(0, "accuracy")
    assert (spread.low, spread.high) == (0.0, 1.0)


def test_only_complete_repeats_count():
    chosen = front(record(0), record(1, 0.8, 1e3))
    assert measure_noise(chosen, {}) is None
    assert measure_noise(chosen, repeats(0, (0.9, 1e4), status=Status.DIVERGED)) is None
    nan = repeats(0, (math.nan, 1e4))
    assert measure_noise(chosen, nan) is None
    noise = measure_noise(chosen, repeats(0, (0.91, 1e4)) | repeats(7, (0.5, 1.0)))
    assert set(noise.probability) == set(noise.spreads) == {0}


def test_the_probability_is_that_of_one_mean_being_better_than_another():
    # both always have the same size: one is non-dominated if its mean accuracy is the larger
    chosen = front(record(0, 0.90, 1e4), record(1, 0.91, 1e4))
    runs = {**repeats(0, (0.92, 1e4), (0.91, 1e4)), **repeats(1, (0.92, 1e4), (0.93, 1e4))}
    noise = measure_noise(chosen, runs, draws=20000)
    error = 0.01 / math.sqrt(3)
    rng = np.random.default_rng(1)
    first, second = (m + error * rng.standard_t(2, 200000) for m in (0.91, 0.92))
    assert noise.probability[0] == pytest.approx((first > second).mean(), abs=0.01)
    assert noise.probability[0] + noise.probability[1] == pytest.approx(1.0)


def test_it_is_seeded_and_trials_with_one_seed_take_part():
    runs = repeats(0, (0.90, 1e4), (0.94, 1e4))
    rival = record(1, 0.90, 9000.0)
    alone = measure_noise(front(record(0, 0.92, 1e4)), runs)
    beside = measure_noise(front(record(0, 0.92, 1e4), rival), runs)
    assert alone.probability[0] == 1.0
    assert 0.5 < beside.probability[0] < 1.0
    assert measure_noise(front(record(0, 0.92, 1e4), rival), runs) == beside
    assert measure_noise(front(record(0, 0.92, 1e4), rival), runs, seed=1) != beside


def test_a_duplicate_is_no_rival():
    runs = repeats(0, (0.90, 1e4), (0.94, 1e4))
    twin = record(1, 0.92, 1e4, digest="same")
    noise = measure_noise(front(record(0, 0.92, 1e4, digest="same"), twin), runs)
    assert noise.probability[0] == 1.0


def test_contenders_are_the_front_and_what_is_near_it():
    records = [
        record(0, 0.90, 1e3, **RAN),
        record(1, 0.98, 1e5, **RAN),
        record(2, 0.979, 1e5, **RAN),  # an eightieth of the range behind
        record(3, 0.94, 1.01e5, **RAN),
        record(4, 0.98, 1.05e5, **RAN),
        record(5, 0.979, 1e5),  # never run
        record(6, 0.5, 2e5, **RAN),
        record(7, 0.9, 1e5, status=Status.PRUNED, **RAN),
    ]
    assert [r.number for r in contenders(front(*records))] == [1, 0, 4, 2]
    assert contenders(front()) == ()
    one = front(record(0, 0.9, 1e3, **RAN))
    assert [r.number for r in contenders(one)] == [0]


def test_a_front_carries_its_noise_into_tables():
    chosen = front(record(0, 0.9, 1e4), record(1, 0.8, 1e3)).with_repeats(repeats(0, (0.8, 1e4)))
    frame = chosen.to_frame()
    assert list(frame["seeds"]) == [2, 1]
    assert frame["accuracy_mean"][0] == pytest.approx(0.85)
    assert frame["accuracy_low"][0] < 0.85 < frame["accuracy_high"][0]
    assert 0 < frame["p_nondominated"][0] <= 1
    assert math.isnan(frame["p_nondominated"][1])
    assert chosen.with_repeats({}).noise is None
    assert "seeds" not in chosen.with_repeats({}).to_frame()

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from autocompress.metrics.timing import interleave, median_interval, repeats_for, warm_up


class FakeClock:
    """Time that only calls make pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def takes(self, name: str, *durations: float) -> Callable[[], None]:
        """Return a call that takes these durations in turn, then the last one for ever."""
        left = list(durations)

        def call() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_pairs_alternate_and_an_untimed_call_precedes_each_timed_one() -> None:
    clock = FakeClock()
    pair = clock.takes("a", 1.0), clock.takes("b", 2.0)
    times = interleave([pair], (1, 2), samples=3, seconds=0, max_seconds=1e9, clock=clock)
    a, b = ["a"] * 2, ["b"] * 3
    assert clock.log == a + b + b + a + a + b
    ((first, second),) = times
    assert first.tolist() == [1.0] * 3
    assert second.tolist() == [2.0] * 3


def test_a_sample_is_the_mean_of_its_repeats() -> None:
    clock = FakeClock()
    pair = clock.takes("a", 9.0, 1.0, 2.0, 6.0), clock.takes("b", 1.0)
    times = interleave([pair], (3, 1), samples=1, seconds=0, max_seconds=1e9, clock=clock)
    assert times[0][0].tolist() == [3.0]  # the 9 s of the untimed call do not count


def test_placements_share_the_samples() -> None:
    clock = FakeClock()
    placements = [(clock.takes(f"a{i}", 1.0), clock.takes(f"b{i}", 1.0)) for i in range(3)]
    times = interleave(placements, (1, 1), samples=7, seconds=0, max_seconds=1e9, clock=clock)
    assert [len(first) for first, _ in times] == [3, 3, 3]
    # the alternation goes on over placements
    assert clock.log[12:20] == ["b1", "b1", "a1", "a1", "a1", "a1", "b1", "b1"]


def test_quick_calls_go_on_for_the_given_time() -> None:
    clock = FakeClock()
    placements = [(clock.takes("a", 0.125), clock.takes("b", 0.125))] * 2
    times = interleave(placements, (1, 1), samples=2, seconds=10, max_seconds=1e9, clock=clock)
    assert [len(first) for first, _ in times] == [10, 10]


def test_slow_calls_stop_at_the_longest_time_but_every_placement_has_a_pair() -> None:
    clock = FakeClock()
    placements = [(clock.takes("a", 1.0), clock.takes("b", 1.0))] * 5
    times = interleave(placements, (1, 1), samples=100, seconds=0, max_seconds=10, clock=clock)
    assert [len(first) for first, _ in times] == [1, 1, 1, 1, 1]
    assert clock.now == 20


def test_no_garbage_is_collected_inside_and_it_is_afterwards() -> None:
    clock = FakeClock()
    enabled: list[bool] = []

    def call() -> None:
        enabled.append(gc.isenabled())
        clock.now += 1

    interleave([(call, call)], (1, 1), samples=1, seconds=0, max_seconds=9, clock=clock)
    assert enabled == [False] * 4
    assert gc.isenabled()


def test_warm_up_goes_on_until_two_rounds_agree() -> None:
    clock = FakeClock()
    # a call above 10 ms is a round by itself: 5 rounds settle, the sixth and seventh agree
    call = clock.takes("a", 5.0, 4.0, 3.0, 2.0, 1.0)
    assert warm_up([call], seconds=1e9, clock=clock) == [1.0]
    assert len(clock.log) == 7


def test_warm_up_is_bounded() -> None:
    clock = FakeClock()
    swinging = clock.takes("a", *[1.0, 2.0] * 50)
    warm_up([swinging], seconds=10, clock=clock)
    assert 10 <= clock.now <= 12


def test_warm_up_waits_for_every_call() -> None:
    clock = FakeClock()
    steady = clock.takes("a", 1.0)
    settling = clock.takes("b", 9.0, 8.0, 7.0, 6.0, 5.0)
    assert warm_up([steady, settling], seconds=1e9, clock=clock) == [1.0, 5.0]


@pytest.mark.parametrize(("seconds", "repeats"), [(1.0, 1), (1e-4, 1), (3e-5, 4), (3e-6, 34)])
def test_a_sample_lasts_at_least_a_tenth_of_a_millisecond(seconds: float, repeats: int) -> None:
    assert repeats_for(seconds) == repeats


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        # values within a group share an offset: a plain bootstrap covers 0 about 35 % of the time
        groups = [generator.normal(generator.normal(0, 1), 1, 30) for _ in range(10)]
        low, high = median_interval(groups, seed=seed, resamples=200)
        covered += low <= 0 <= high
    assert covered >= 85


def test_the_interval_brackets_the_median_and_is_repeatable() -> None:
    groups = [np.arange(5.0) + i for i in range(10)]
    low, high = median_interval(groups, seed=3)
    assert low < np.median(np.concatenate(groups)) < high
    assert median_interval(groups, seed=3) == (low, high)
    assert median_interval([np.full(3, 2.0)] * 10, seed=0) == (2.0, 2.0)

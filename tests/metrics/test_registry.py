from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from autocompress import models
from autocompress.api import compress
from autocompress.compression import Codebook, LowRank, StructurePrune
from autocompress.data import Data
from autocompress.errors import ConfigError, UnknownName
from autocompress.evaluation import evaluate
from autocompress.metrics import METRICS, LatencySettings, Measurement, Metric, get, measure
from autocompress.plan import Plan, Task
from autocompress.recipe import Direct

QUICK = LatencySettings(samples=10, seconds=0.0, warmup_seconds=0.05)


@pytest.fixture(scope="module")
def measured(digits: Data) -> tuple[Measurement, dict[str, float]]:
    """Every metric of a network with a factorized layer, a thinned one and a quantized one."""
    torch.manual_seed(0)
    reference = models.build("digits-cnn", digits).eval()
    plan = Plan(
        [
            Task("thin", "conv1.weight", StructurePrune(0.5)),
            Task("rank", "fc1.weight", LowRank(4)),
            Task("quantize", "conv2.weight", Codebook(2)),
        ]
    )
    compressed = compress(reference, plan, Direct(), digits)
    measurement = Measurement(compressed, reference, digits, QUICK)
    return measurement, measure(METRICS, measurement)


def test_every_metric_is_a_finite_number_in_its_direction(
    measured: tuple[Measurement, dict[str, float]],
) -> None:
    _, values = measured
    assert list(values) == list(METRICS)
    assert all(math.isfinite(value) for value in values.values())
    assert all(metric.doc for metric in METRICS.values())


def test_accuracy_is_that_of_the_validation_split(
    measured: tuple[Measurement, dict[str, float]], digits: Data
) -> None:
    measurement, values = measured
    expected = evaluate(measurement.compressed.model, digits.val)  # type: ignore[attr-defined]
    assert values["accuracy"] == expected.accuracy
    assert values["error"] == pytest.approx(1 - expected.accuracy)
    assert values["loss"] == pytest.approx(expected.loss)


def test_costs_are_those_of_the_realized_module(
    measured: tuple[Measurement, dict[str, float]],
) -> None:
    _, values = measured
    # conv1 keeps 8 of 16 filters; fc1 (128 -> 64) has rank 4
    macs = (9 * 8 * 64) + (8 * 9 * 32 * 16) + 4 * (128 + 64) + 64 * 10
    assert values["flops"] == 2 * macs
    params = (9 * 8 + 8) + (8 * 9 * 32 + 32) + (4 * (128 + 64) + 64) + 650
    assert values["params"] == params


def test_size_is_that_of_the_packed_file(measured: tuple[Measurement, dict[str, float]]) -> None:
    measurement, values = measured
    assert values["bytes"] == measurement.compressed.size.bytes
    assert values["ratio"] == pytest.approx(13_706 * 4 / values["bytes"])


def test_latency_metrics_are_one_measurement(
    measured: tuple[Measurement, dict[str, float]],
) -> None:
    measurement, values = measured
    report = measurement.latency
    assert values["latency"] == report.compressed.p50
    assert values["latency_p90"] == report.compressed.p90
    assert values["latency_p99"] == report.compressed.p99
    assert values["latency_ratio"] == report.ratio


class Untouchable:
    """A compressed model nothing may be asked of."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")


def nothing(digits: Data) -> Measurement:
    return Measurement(Untouchable(), nn.Identity(), digits)  # type: ignore[arg-type]


def test_names_are_checked_before_anything_is_measured(digits: Data) -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        measure(["bytes", "acuracy"], nothing(digits))


def test_a_metric_of_ones_own_is_passed_as_it_is(digits: Data) -> None:
    mine = Metric("mine", unit="J", direction="minimize", function=lambda m: m.data.classes)
    assert get(mine) is mine
    assert measure([mine], nothing(digits)) == {"mine": 10.0}
    assert "mine" not in METRICS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_kept(value: float, digits: Data) -> None:
    result = measure([Metric("m", lambda m: value)], nothing(digits))["m"]
    assert result == value or (math.isnan(result) and math.isnan(value))


def test_a_value_that_is_no_number_is_told(digits: Data) -> None:
    with pytest.raises(ConfigError, match="metric 'm' gave None"):
        measure([Metric("m", lambda m: None)], nothing(digits))  # type: ignore[arg-type,return-value]


def test_two_metrics_of_one_name_are_told(digits: Data) -> None:
    mine = Metric("bytes", lambda m: 1.0)
    with pytest.raises(ConfigError, match="'bytes'"):
        measure(["bytes", mine], nothing(digits))
    assert measure([mine, mine], nothing(digits)) == {"bytes": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "non-empty"),
        ({"direction": "up"}, "'minimize' or 'maximize'"),
        ({"function": 3}, "cannot be called"),
    ],
)
def test_a_metric_that_cannot_be_is_told(arguments: dict[str, object], message: str) -> None:
    valid: dict[str, object] = {"name": "m", "function": lambda m: 1.0}
    with pytest.raises(ConfigError, match=message):
        Metric(**(valid | arguments))  # type: ignore[arg-type]


def test_free_metrics_need_no_training_and_no_evaluation(
    measured: tuple[Measurement, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, values = measured
    fresh = Measurement(old.compressed, old.reference, old.data, QUICK)
    monkeypatch.setattr(Measurement, "validation", property(lambda m: pytest.fail("evaluated")))
    monkeypatch.setattr(Measurement, "latency", property(lambda m: pytest.fail("timed")))
    free = [name for name, metric in METRICS.items() if metric.free]
    assert {"bytes", "flops", "params"} <= set(free)
    assert measure(free, fresh) == {name: values[name] for name in free}

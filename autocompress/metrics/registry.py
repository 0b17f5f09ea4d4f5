"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autocompress.errors import ConfigError, unknown
from autocompress.metrics.flops import count_params
from autocompress.metrics.measurement import Measurement

DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Metric:
    """A number that says how good a compressed model is.

    Pass one of your own wherever a metric's name is accepted; nothing needs to be registered.

    Attributes:
        name: How objectives, tables and plots call it.
        function: Works it out. A value that is not finite is kept as it is.
        unit: Its unit, empty for a fraction or a ratio.
        direction: Which way is better, ``"minimize"`` or ``"maximize"``.
        doc: One line of explanation.
        free: Whether direct compression already gives it, at least nearly: no training changes it
            much.

    Raises:
        ConfigError: an empty name or another direction.
    """

    name: str
    function: Callable[[Measurement], float]
    unit: str = ""
    direction: str = "minimize"
    doc: str = ""
    free: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"a metric's name is a non-empty string, not {self.name!r}")
        if self.direction not in DIRECTIONS:
            accepted = " or ".join(map(repr, DIRECTIONS))
            raise ConfigError(
                f"metric {self.name!r}: direction = {self.direction!r}: accepted is {accepted}"
            )
        if not callable(self.function):
            raise ConfigError(
                f"metric {self.name!r}: function = {self.function!r} cannot be called"
            )

    def __call__(self, measurement: Measurement) -> float:
        """Return the metric's value.

        Raises:
            ConfigError: the function returned something that is not a number.
        """
        value = self.function(measurement)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ConfigError(f"metric {self.name!r} gave {value!r}, not a number") from None


def _accuracy(m: Measurement) -> float:
    return m.validation.accuracy


def _error(m: Measurement) -> float:
    return 1.0 - m.validation.accuracy


def _loss(m: Measurement) -> float:
    return m.validation.loss


def _params(m: Measurement) -> float:
    return count_params(m.realized)


def _flops(m: Measurement) -> float:
    return m.flops


def _of_size(field: str, unit: str, direction: str, doc: str) -> Metric:
    """Return the metric that is a field of the size report, by the same name."""
    return Metric(field, lambda m: float(getattr(m.size, field)), unit, direction, doc, free=True)


def _of_latency(name: str, percentile: str, doc: str) -> Metric:
    """Return the metric that is a percentile of the compressed module's latency."""
    return Metric(
        name, lambda m: float(getattr(m.latency.compressed, percentile)), "ms", "minimize", doc
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _accuracy, "", "maximize", "top-1 accuracy, validation split, 0 to 1"),
        Metric("error", _error, "", "minimize", "1 - accuracy"),
        Metric("loss", _loss, "nats", "minimize", "mean cross-entropy, validation split"),
        _of_size("bytes", "B", "minimize", "size of the packed file on disk"),
        _of_size("ratio", "", "maximize", "32-bit size / bytes of the packed file"),
        _of_size("nonzeros", "", "minimize", "weights that are not zero"),
        _of_size("nonzero_ratio", "", "maximize", "weights / nonzero weights (ADMM papers)"),
        _of_size("condensa_bytes", "B", "minimize", "bytes of nonzero numbers (Condensa)"),
        _of_size("condensa_ratio", "", "maximize", "32-bit size / condensa_bytes"),
        _of_size("lc_bytes", "B", "minimize", "bytes by the LC toolkit's accounting"),
        _of_size("lc_ratio", "", "maximize", "32-bit size / lc_bytes"),
        Metric("params", _params, "", "minimize", "parameters of the realized module", free=True),
        Metric(
            "flops",
            _flops,
            "",
            "minimize",
            "operations of the realized module for one sample, 2 a multiply-add",
            free=True,
        ),
        _of_latency("latency", "p50", "median duration of a call of the realized module"),
        _of_latency("latency_p90", "p90", "90th percentile of the duration of a call"),
        _of_latency("latency_p99", "p99", "99th percentile of the duration of a call"),
        Metric(
            "latency_ratio",
            lambda m: m.latency.ratio,
            "",
            "minimize",
            "duration of a call relative to the reference's, measured side by side",
        ),
    )
}
"""The built-in metrics."""


def get(metric: str | Metric) -> Metric:
    """Return a built-in metric by name; a metric is returned as it is.

    Raises:
        UnknownName: there is none of that name; names the nearest.
    """
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    return METRICS[metric]


def measure(metrics: Iterable[str | Metric], measurement: Measurement) -> dict[str, float]:
    """Measure a compressed model.

    Args:
        metrics: Names of built-in metrics, or metrics of your own.
        measurement: What to measure.

    Returns:
        Value by name. Values may be infinite or NaN: whether such a model counts is not decided
        here.

    Raises:
        ConfigError: an unknown name, or two metrics of one name.
    """
    chosen: dict[str, Metric] = {}
    for metric in map(get, metrics):  # all names are checked before anything is measured
        if chosen.setdefault(metric.name, metric) is not metric:
            raise ConfigError(f"two metrics are called {metric.name!r}: names must be unique")
    return {name: metric(measurement) for name, metric in chosen.items()}

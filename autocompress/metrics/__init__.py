"""What a compressed model is measured by: accuracy, size, operations, latency."""

from autocompress.metrics.flops import count_flops, count_params
from autocompress.metrics.hardware import fingerprint
from autocompress.metrics.latency import LatencyReport, LatencySettings, measure_latency
from autocompress.metrics.measurement import Measurement
from autocompress.metrics.registry import METRICS, Metric, get, measure
from autocompress.metrics.size import SizeReport, size_report

__all__ = [
    "METRICS",
    "LatencyReport",
    "LatencySettings",
    "Measurement",
    "Metric",
    "SizeReport",
    "count_flops",
    "count_params",
    "fingerprint",
    "get",
    "measure",
    "measure_latency",
    "size_report",
]

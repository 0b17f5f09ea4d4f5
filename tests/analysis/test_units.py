import math

import pytest

from autocompress.analysis.units import format_kind, format_value, parse_quantity, quantity
from autocompress.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20KB", 20_000),
        ("1.5MB", 1_500_000),
        ("300B", 300),
        ("20 KiB", 20_480),
        ("1mib", 2**20),
        ("2GB", 2e9),
        (".5k", 500),
        ("5M", 5e6),
        ("97%", 0.97),
        ("0.5 ms", 0.5),
        ("250us", 0.25),
        ("2s", 2000),
        ("1e-3", 1e-3),
        (" 42 ", 42),
        (17, 17),
        (0.25, 0.25),
    ],
)
def test_quantities_are_read(text, value):
    assert parse_quantity(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "KB", "20 potatoes", "1..5", "nan", "inf", "1e999", "2 0", "5TB"]
)
def test_what_is_no_quantity_is_refused_with_its_place(text):
    with pytest.raises(ConfigError, match=r"--max-bytes"):
        parse_quantity(text, where="--max-bytes")


@pytest.mark.parametrize("value", [True, None, math.nan, math.inf])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ConfigError, match="number"):
        parse_quantity(value)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("bytes", 20_300, "20.3 KB"),
        ("bytes", 312, "312 B"),
        ("bytes", 1_066_440, "1.07 MB"),
        ("bytes", 999_700, "1.00 MB"),
        ("bytes", 0, "0 B"),
        ("accuracy", 0.97123, "97.12 %"),
        ("latency_p90", 0.5234, "0.523 ms"),
        ("latency", 0.0123, "0.0123 ms"),
        ("ratio", 14.23, "14.2×"),
        ("flops", 266_200, "266 K"),
        ("loss", 0.0712345, "0.07123"),
        ("accuracy", math.nan, "n/a"),
    ],
)
def test_values_are_written_for_people(metric, value, text):
    assert format_value(metric, value) == text


def test_unknown_metrics_are_called_by_their_name():
    assert quantity("my_score").label == "my score"
    assert quantity("flash_bytes").kind == "bytes"
    assert quantity("latency_b64").kind == "time"
    assert format_kind("plain", 12345.6) == "1.235e+04"


@pytest.mark.parametrize("value", [1, 9.99, 999, 1_000, 12_345, 999_499, 5e6, 7.7e9])
def test_written_sizes_read_back_within_their_digits(value):
    assert parse_quantity(format_value("bytes", value)) == pytest.approx(value, rel=6e-3)

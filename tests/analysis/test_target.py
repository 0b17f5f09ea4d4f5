import pytest

from autocompress.analysis.target import Bound, Target
from autocompress.errors import ConfigError, UnknownName

REFERENCE = {"accuracy": 0.98, "loss": 0.05, "bytes": 1e6, "latency": 2.0}


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("accuracy>=ref-0.5%", "accuracy", 0.975),
        ("accuracy >= ref - 0.005", "accuracy", 0.975),
        ("accuracy>=REF", "accuracy", 0.98),
        ("accuracy>=reference-1%", "accuracy", 0.97),
        ("accuracy>=ref*0.99", "accuracy", 0.9702),
        ("accuracy>=97%", "accuracy", 0.97),
        ("accuracy>=0.97", "accuracy", 0.97),
        ("loss<=ref+10%", "loss", 0.055),
        ("loss<=ref*1.1", "loss", 0.055),
        ("latency<=ref/2", "latency", 1.0),
        ("latency<=500us", "latency", 0.5),
        ("bytes<=20KB", "bytes", 20_000),
        ("bytes<=ref*10%", "bytes", 1e5),
    ],
)
def test_targets_are_read(text, metric, value):
    target = Target.parse(text)
    assert target.metric == metric
    assert target.operator in text
    assert target.value(REFERENCE) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy", r"target = 'accuracy': expected METRIC>=VALUE"),
        ("accuracy=0.97", "expected METRIC>=VALUE"),
        ("accuracy>0.97", "expected METRIC>=VALUE"),
        (">=0.97", "expected METRIC>=VALUE"),
        ("accuracy>=", "expected METRIC>=VALUE"),
        ("", "expected METRIC>=VALUE"),
        ("accuracy>=much", r"target = 'accuracy>=much': cannot read 'much'"),
        ("accuracy>=ref-", r"'ref-': cannot read ''"),
        ("accuracy>=ref--1%", r"'ref--1%' has two signs"),
        ("latency<=ref/0", "divides by zero"),
        ("accuracy>=97", r"accuracy is a fraction from 0 to 1.*write 97%"),
    ],
)
def test_what_is_no_target_is_refused_in_one_clear_line(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        Target.parse(text)
    assert "\n" not in str(error.value)


def test_a_bound_beyond_a_fraction_is_refused_once_the_reference_is_known():
    with pytest.raises(ConfigError, match=r"'accuracy>=ref\+5%': accuracy is a fraction.* 1.03"):
        Target.parse("accuracy>=ref+5%").value(REFERENCE)


def test_a_bound_needs_the_references_value():
    with pytest.raises(UnknownName, match="flops"):
        Target.parse("flops<=ref/2").value(REFERENCE)


def test_a_target_is_written_with_its_value():
    target = Target.parse("accuracy >= ref - 0.5%")
    assert str(target) == "accuracy>=ref-0.5%"
    assert target.describe(REFERENCE) == "accuracy >= 97.50 %"
    assert Bound.parse(0.5) == Bound("", 0.5)

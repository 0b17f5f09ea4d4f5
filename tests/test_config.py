import pytest

from autocompress.config import Sweep
from autocompress.errors import ConfigError, UnknownName


def test_the_default_sweep_needs_nothing():
    sweep = Sweep()
    assert (sweep.model, sweep.data) == ("digits-cnn", "digits")
    assert 1 <= sweep.jobs <= 2
    assert sweep.load_space().name == "mixed"
    assert sweep.load_objectives().name == "accuracy-size"


def test_its_json_form_builds_the_same_sweep_again(tmp_path):
    sweep = Sweep(trials=7, limits={"bytes": "20KB"}, out=tmp_path, space="quantize")
    again = Sweep.from_dict(sweep.to_dict())
    assert again.to_dict() == sweep.to_dict()
    assert again.load_space() == sweep.load_space()
    assert again.limits == {"bytes": 20_000.0}
    assert again.trials == 7


def test_files_and_overrides(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("trials: 9\nlimits: {bytes: 20KB}\nresolved: {what: ever}\n")
    changes = {"trials": 3, "limits.accuracy": "90%", "latency.batch_size": 8}
    sweep = Sweep.from_file(path, changes)
    assert sweep.trials == 3
    assert sweep.limits == {"bytes": 20_000.0, "accuracy": 0.9}
    assert sweep.latency.batch_size == 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trials": 0}, "Sweep.trials = 0"),
        ({"jobs": -1}, "Sweep.jobs = -1"),
        ({"timeout": 0}, "Sweep.timeout = 0"),
        ({"seed": 1.5}, "Sweep.seed = 1.5"),
        ({"sampler": "cma"}, "Sweep.sampler = 'cma'"),
        ({"device": "tpu!"}, "known are 'cpu'"),
        ({"limits": {"bytes": "big"}}, "Sweep.limits.bytes: cannot read 'big'"),
        ({"latency": {"samples": 0}}, "samples"),
        ({"trails": 3}, "did you mean 'trials'"),
    ],
)
def test_what_cannot_be_used_is_named(settings, words):
    with pytest.raises(ConfigError) as error:
        Sweep.from_dict(settings, where="mine.yaml")
    assert words in str(error.value)
    assert str(error.value).startswith("mine.yaml: ")


def test_names_that_do_not_exist_are_told_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'quantize'"):
        Sweep(space="quantise").load_space()
    with pytest.raises(UnknownName, match="did you mean 'accuracy-flops'"):
        Sweep(objectives="accuracy-flop").load_objectives()

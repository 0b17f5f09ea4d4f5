import math

import pytest

from autocompress.api import compress
from autocompress.compression import L1Penalty, LowRank
from autocompress.compression.estimate import Known
from autocompress.data import DataSpec, stand_in
from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.counting import Count
from autocompress.explore.survey import find_notes, survey, without_training
from autocompress.explore.trial import TrialContext
from autocompress.models import build
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate, Direct
from tests.explore.toys import LAYERS, NET, Replay, space

TEXT = """
layers:
  - match: "conv*"
    share: true
    schemes: [{scheme: dense}, {scheme: prune, weight: 9, density: {low: 0.1, high: 0.9}}]
  - match: fc1
    schemes: [{scheme: codebook, k: {low: 2, high: 9}}]
recipe: {method: direct}
constraints: [conv1.scheme == prune]
"""


def measure(candidate):
    return {"bytes": Known.exactly(100 * len(candidate.plan.tasks))}


def test_layers_choices_and_samples_of_a_space():
    found = survey(space(TEXT), NET, measure, samples=30, seed=1)
    assert [layer.name for layer in found.layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert [found.group_of(layer) for layer in found.layers] == [0, 0, 1, None]
    assert found.counts == (Count(1, 101), Count(8, 8))
    assert (found.plans, found.total.log10) == (Count(8, 808), pytest.approx(2.907, abs=1e-3))
    assert [layer.name for layer in found.dense] == ["fc2"]
    assert found.notes == ()
    assert found.reference == {"bytes": Known.exactly(0)}
    for sample in found.samples:
        assert space(TEXT).sample(Replay(sample.params), LAYERS) == sample.candidate
        dense = sample.params["conv*.scheme"] == "dense"
        assert sample.metrics == {"bytes": Known.exactly(100 if dense else 300)}
        assert sample.broken == (("conv1.scheme == prune",) if dense else ())
    # drawn by the weights
    assert 1 <= sum(bool(sample.broken) for sample in found.samples) <= 8


def test_samples_depend_on_the_seed_alone():
    first, again, other = (survey(space(TEXT), NET, measure, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.samples != other.samples


def metrics_of(plan, tmp_path):
    data = stand_in(DataSpec(name="digits", root=str(tmp_path)))
    model = build("digits-cnn", data)
    compressed = compress(model, plan, Direct(), data)
    told = without_training(model, data)(Candidate(plan, Direct()))
    return told, TrialContext(model, data).measure(("bytes", "flops"), compressed)


def test_bytes_and_flops_of_samples_need_no_data_files(tmp_path):
    told, real = metrics_of(Plan([Task("fc1", ["fc1.weight"], LowRank(4))]), tmp_path)
    assert told["bytes"].value == pytest.approx(real["bytes"], rel=0.01)
    assert told["bytes"].error < 0.01
    assert told["flops"].value == real["flops"]


def test_what_shapes_do_not_tell_is_told_by_direct_compression(tmp_path):
    scheme = L1Penalty(alpha=0.01)
    told, real = metrics_of(Plan([Task("fc1", ["fc1.weight"], scheme)]), tmp_path)
    assert {name: known.value for name, known in told.items()} == real
    assert told["bytes"].error == math.inf


def notes(layers):
    chosen = space(f"layers: {layers}")
    return find_notes(chosen.rules, LAYERS, chosen.groups(LAYERS))


SCHEMES = "schemes: [{scheme: prune, density: 0.5}]"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (f"[{{match: '*', {SCHEMES}}}]", []),
        (f"[{{match: fc1, {SCHEMES}}}, {{match: 'fc*', {SCHEMES}}}]", []),
        (
            f"[{{match: '*', {SCHEMES}}}, {{match: 'fc*', {SCHEMES}}}]",
            ["layers[1] (fc*) is shadowed: its layers go to layers[0]"],
        ),
        (
            f"[{{match: conv1, {SCHEMES}}}, {{match: [conv1, fc1], {SCHEMES}}}]",
            [
                "the pattern 'conv1' of layers[1] (conv1, fc1) is shadowed: its layers go to "
                "layers[0]"
            ],
        ),
        (
            f"[{{match: ['*', fc1], {SCHEMES}}}]",
            ["the pattern 'fc1' of layers[0] (*, fc1) changes nothing"],
        ),
        (
            f"[{{match: ['conv*', '!fc1'], {SCHEMES}}}]",
            ["the pattern '!fc1' of layers[0] (conv*, !fc1) changes nothing"],
        ),
        (
            f"[{{match: 'conv*', kind: linear, {SCHEMES}}}, {{match: fc1, {SCHEMES}}}]",
            ["layers[0] (conv*) is for no layer of this model"],
        ),
        (
            "[{match: 'fc*', schemes: [{scheme: structure-prune, density: 0.5}]}]",
            [
                "fc2 stays dense: layers[0] (fc*) offers the output layer only schemes that take "
                "outputs away"
            ],
        ),
    ],
)
def test_what_rules_and_patterns_do_not_do_is_said(layers, expected):
    assert list(notes(layers)) == expected


def test_a_space_that_does_not_fit_the_model_is_an_error():
    with pytest.raises(UnknownName, match=r"space\.yaml: layers\[0\]\.match: unknown layer 'fc3'"):
        survey(space(f"layers: [{{match: fc3, {SCHEMES}}}]"), NET, measure)
    text = f"layers: [{{match: fc1, {SCHEMES}}}]\nconstraints: [fc2.scheme == prune]"
    with pytest.raises(ConfigError, match=r"constraints\[0\]"):
        survey(space(text), NET, measure)

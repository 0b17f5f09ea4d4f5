"""Searches for a target, on a small trained network."""

import math

import pytest

from autocompress.analysis.onesided import Goal
from autocompress.config import Sweep
from autocompress.errors import ConfigError, RunError
from autocompress.explore.record import Status
from autocompress.explore.space import SearchSpace
from autocompress.limits import Limits
from autocompress.metrics import METRICS
from autocompress.onesided import Predictor, make_onesided
from autocompress.sensitivity.measure import measure
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

SPACE = {
    "layers": [
        {
            "match": "*",
            "schemes": [
                {"scheme": "prune", "density": {"low": 0.05, "high": 1.0, "log": True}},
                {"scheme": "codebook", "k": {"low": 2, "high": 16, "log": True}},
            ],
        }
    ],
    "recipe": {"mu": {"steps": {"low": 1, "high": 3}}, "batch_size": 16},
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def toy():
    context = toy_context()
    return {"model": context.model, "data": context.data, "space": SPACE, "jobs": 0}


def parts(limits=None):
    context = toy_context()
    space = SearchSpace.from_dict(SPACE)
    table = measure(context.model, context.data, space)
    objectives = Sweep().load_objectives()
    return {
        "context": context,
        "space": space,
        "table": table,
        "limits": Limits(objectives, limits or {}, METRICS),
    }


def test_a_search_for_a_target_proposes_its_trials_and_has_an_answer(toy, tmp_path):
    sweep = Sweep(**toy, target="accuracy>=ref-10%", trials=3, out=tmp_path / "run")
    assert sweep.minimize == "bytes"
    study = search(sweep)
    records = study.records()
    assert {record.origin for record in records} == {"target"}
    assert len({record.digest for record in records}) == len(records)
    found = study.found()
    assert found.samples == len(records) <= 3
    if found:
        reached = [r for r in records if r.metrics["accuracy"] >= found.bound]
        assert found.record.metrics["bytes"] == min(r.metrics["bytes"] for r in reached)
    assert (study.path / "report" / "answer.json").is_file()
    again = search(sweep.model_copy(update={"trials": 4})).records()
    assert again[: len(records)] == records
    other = search(Sweep(**toy, target="accuracy>=ref-10%", trials=3, out=tmp_path / "other"))
    same = [(r.params, r.metrics) for r in other.records()]
    assert same == [(r.params, r.metrics) for r in records]
    with pytest.raises(RunError, match="different target"):
        search(sweep.model_copy(update={"target": "accuracy>=ref-20%"}))


def test_the_path_leads_from_small_to_large_and_begins_where_no_training_is_needed():
    given = parts()
    reference = {"accuracy": given["table"].reference_accuracy, "bytes": 1e4}
    found = make_onesided(Goal.parse("accuracy>=ref-5%"), reference=reference, **given)
    sizes = [point.size for point in found.path.points]
    assert sizes == sorted(sizes)
    assert len(sizes) > 4
    assert all("recipe.mu.steps" in point.params for point in found.path.points)
    assert found.start is None or sizes[0] <= math.exp(found.start) <= sizes[-1]
    judged = found.judge(found.path.points[3].params)
    assert judged.key == found.path.points[3].key


@pytest.mark.parametrize("minimize", ["flops", "nonzeros", "params"])
def test_other_sizes_have_paths_too(minimize):
    given = parts()
    found = make_onesided(Goal.parse("loss<=5", minimize), reference={"loss": 1.0}, **given)
    assert len(found.path.points) >= 1
    assert found.propose(0, []) is not None


def test_limits_that_no_candidate_keeps_are_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"within the hard limits.* bytes .* is above 10\.0 B"):
        make_onesided(
            Goal.parse("accuracy>=ref-5%"), reference={"accuracy": 0.9}, **parts({"bytes": 10.0})
        )


def test_limits_keep_candidates_off_the_path():
    free = make_onesided(Goal.parse("loss<=9"), reference={}, **parts())
    middle = free.path.points[len(free.path.points) // 2].size
    bound = make_onesided(Goal.parse("loss<=9"), reference={}, **parts({"bytes": middle}))
    assert bound.path.points[0].size == free.path.points[0].size
    assert bound.path.points[-1].size <= middle * 1.001


def test_a_candidate_is_judged_once_whatever_the_order_of_its_parameters():
    given = parts()
    judge = Predictor("bytes", **given)
    params = judge.openings()[0]
    assert judge(params) is judge(dict(reversed(params.items())))
    assert given["table"].groups[0] + ".scheme" in params


def test_a_target_beyond_what_there_is_is_refused_before_any_trial(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"accuracy is a fraction from 0 to 1"):
        search(Sweep(**toy, target="accuracy>=ref+90%", out=tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"minimize = 'loss'"):
        search(Sweep(**toy, target="accuracy>=0.5", minimize="loss", out=tmp_path / "run"))


def test_a_target_nothing_reaches_names_what_binds(toy, tmp_path):
    study = search(Sweep(**toy, target="loss<=1e-9", trials=3, out=tmp_path / "run"))
    found = study.found()
    assert not found
    assert found.nearest.status is Status.COMPLETE
    assert found.shortfall > 0
    assert "what binds is loss <= 1e-09: nearest is trial" in found.reason


def test_a_sweep_for_a_target_has_ten_trials_unless_told():
    assert Sweep(target="accuracy>=90%").trials == 10
    assert Sweep(target="accuracy>=90%", trials=30).trials == 30
    assert Sweep().trials == 24
    assert Sweep.from_dict(Sweep(target="loss<=1").to_dict()).minimize == "bytes"
    with pytest.raises(ConfigError, match="say what must be reached"):
        Sweep(minimize="bytes")
    with pytest.raises(ConfigError, match="expected METRIC>=VALUE"):
        Sweep(target="small")

import pytest

from autocompress.config import Sweep
from autocompress.errors import ConfigError
from autocompress.sensitivity import Sensitivity
from autocompress.sensitivity.planning import NOTE
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.1, "high": 1}}]}
    ],
    "recipe": {"mu": {"steps": 1}, "batch_size": 16},
}


def test_a_sweep_begins_along_the_frontier_and_remembers_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path / "cache"))
    toy = toy_context()
    common = {"model": toy.model, "data": toy.data, "space": SPACE, "jobs": 0, "sampler": "random"}
    sweep = Sweep(**common, trials=12, seeding="sensitivity", out=tmp_path / "run")
    with search(sweep) as study:
        first = study.records()
        table = Sensitivity.from_dict(study.note(NOTE))
    assert [r.origin for r in first[:2]] == ["dense", "knapsack"]
    assert all(table.predict(r.params) < 10 for r in first)

    def measured_again(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("autocompress.sensitivity.planning.sensitivity", measured_again)
    with search(sweep.model_copy(update={"trials": 13})) as study:
        assert study.records()[:12] == first
        assert Sensitivity.from_dict(study.note(NOTE)) == table


def test_a_sweep_may_begin_without_any_candidate(tmp_path):
    toy = toy_context()
    common = {"model": toy.model, "data": toy.data, "space": SPACE, "jobs": 0, "sampler": "random"}
    with search(Sweep(**common, trials=4, seeding="none", out=tmp_path / "run")) as study:
        assert {r.origin for r in study.records()} == {"sampler"}
        assert study.note(NOTE) is None
    with pytest.raises(ConfigError, match="seeding"):
        Sweep(seeding="knapsack")

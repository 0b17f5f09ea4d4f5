import pytest

import autocompress as ac
from autocompress import yamlio
from autocompress.config import Sweep
from autocompress.errors import ConfigError, RunError
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}]}
    ],
    "recipe": {"mu": {"steps": 1}, "batch_size": 16},
}


def plan(density):
    return ac.Plan([ac.Task(n, f"{n}.weight", ac.Prune(density)) for n in ("0", "2")])


@pytest.fixture
def toy():
    context = toy_context()
    return {"model": context.model, "data": context.data, "space": SPACE, "trials": 3, "jobs": 0}


def test_plans_of_the_user_are_tried_first_and_written_down(toy, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yamlio.dumps(plan(0.25).to_dict()))
    out = tmp_path / "run"
    with search(Sweep(**toy, seeds=[plan(0.3), file, plan(0.3)], out=out)) as study:
        records = study.records()
    assert [r.origin for r in records[:2]] == ["given", "given"]
    assert records[2].origin != "given"
    assert [r.params["0.prune.density"] for r in records[:2]] == [0.3, 0.25]
    stored = yamlio.load(out / "sweep.yaml")
    assert stored["seeds"] == [plan(0.3).to_dict(), plan(0.25).to_dict(), plan(0.3).to_dict()]
    file.unlink()
    values = {key: toy[key] for key in ("model", "data")}
    again = Sweep.from_dict(stored, values)
    with search(again) as study:
        assert study.records() == records
    with pytest.raises(RunError, match="different seeds"):
        search(Sweep(**toy, out=out))


def test_a_plan_that_does_not_fit_is_told_before_anything_runs(toy, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ConfigError) as caught:
        search(Sweep(**toy, seeds=[plan(0.95).to_dict()], out=out))
    assert str(caught.value) == (
        "seeds[0]: a seed plan that does not fit the space 'custom': layer '0': "
        "prune.density = 0.95: the space accepts 0.1 to 0.9"
    )
    assert not out.exists()


def test_runs_without_seeds_go_on(toy, tmp_path):
    out = tmp_path / "run"
    search(Sweep(**toy, out=out)).close()
    stored = yamlio.load(out / "sweep.yaml")
    del stored["seeds"]
    (out / "sweep.yaml").write_text(yamlio.dumps(stored))
    search(Sweep(**toy, out=out)).close()

"""Candidates over a hard limit are refused before any training, mostly by their shapes alone."""

import optuna
import pytest

from autocompress import compression as c
from autocompress import limits as module
from autocompress.explore.entries import PendingTrial
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.opening import Setup
from autocompress.explore.record import Status
from autocompress.explore.space import SearchSpace
from autocompress.explore.study import Study
from autocompress.limits import Limits
from autocompress.metrics import METRICS, Metric
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate, Direct
from autocompress.testing.executors import toy_context

CONTEXT = toy_context()
OBJECTIVES = Objectives(
    "toy",
    (
        Objective("accuracy", "maximize", worst=0.1),
        Objective("bytes", "minimize", scale="log", worst=1e5),
    ),
)


def pending(*schemes):
    names = ("0.weight", "2.weight")
    tasks = [Task(n, [n], s) for n, s in zip(names, schemes, strict=False)]
    return PendingTrial(0, Candidate(Plan(tasks), Direct()), "digest", 0)


def judged(limits, *schemes, context=CONTEXT, metrics=METRICS):
    return Limits(OBJECTIVES, limits, metrics).precheck(pending(*schemes), context)


@pytest.fixture
def unweighted(monkeypatch):
    """Nothing may be compressed."""

    def refuse(*args, **kwargs):
        raise AssertionError("weights were touched")

    monkeypatch.setattr(module, "compress", refuse)


def size(*schemes):
    candidate = pending(*schemes).candidate
    compressed = module.compress(CONTEXT.model, candidate.plan, Direct(), CONTEXT.data)
    return compressed.size.bytes


def test_shapes_alone_refuse_what_is_too_large(unweighted):
    record = judged({"bytes": 700}, c.Codebook(4))
    assert record.status is Status.INFEASIBLE
    assert record.metrics["bytes"] > 700
    assert record.refused
    assert "bytes" in record.message
    assert record.message.endswith("known before training")


def test_shapes_alone_pass_what_is_small_enough(unweighted):
    assert (
        judged({"bytes": 5000, "flops": 1000, "nonzeros": 50}, c.Prune(0.1), c.Prune(0.1)) is None
    )


def test_flops_and_ratios_are_limits_too(unweighted):
    assert "flops" in judged({"flops": 180}, c.LowRank(2)).message
    assert judged({"flops": 250}, c.LowRank(2)) is None
    assert "ratio" in judged({"ratio": 3}, c.Codebook(4)).message
    assert judged({"accuracy": 0.99}, c.Codebook(4)) is None


def test_direct_compression_decides_in_between():
    scheme = c.Prune(0.3)
    exact = size(scheme)
    assert judged({"bytes": exact}, scheme) is None
    record = judged({"bytes": exact - 1}, scheme)
    assert record.metrics == {"bytes": exact}
    assert judged({"bytes": 600}, c.L1Ball(0.2)).refused


def test_a_metric_of_ones_own_is_not_taken_for_a_built_in_one():
    own = Metric("params", lambda m: 7.0, free=True)
    context = type(CONTEXT)(CONTEXT.model, CONTEXT.data, metrics=(own,))
    metrics = METRICS | {"params": own}
    assert judged({"params": 8}, c.Codebook(4), context=context, metrics=metrics) is None
    assert judged({"params": 6}, c.Codebook(4), context=context, metrics=metrics).refused


def test_the_sampler_is_told(tmp_path):
    space = SearchSpace.from_dict(
        {
            "layers": [
                {"match": "*", "schemes": [{"scheme": "codebook", "k": {"low": 2, "high": 9}}]}
            ],
            "recipe": {"method": "direct"},
        }
    )
    limits = Limits(OBJECTIVES, {"bytes": 500, "flops": 10}, METRICS)
    setup = Setup(limits.objectives, space, {"accuracy": 1.0, "bytes": 1e4}, trials=10)
    study = Study.create(tmp_path, setup, CONTEXT.model)
    study.excess = limits.excess
    trial = study.ask()
    study.tell(limits.precheck(trial, CONTEXT))
    trained = study.ask()
    study.tell(trained.record(Status.COMPLETE, {"accuracy": 0.9, "bytes": 400.0, "flops": 5.0}))
    stored = optuna.load_study(study_name=tmp_path.name, storage=f"sqlite:///{tmp_path}/study.db")
    refused, complete = stored.get_trials()
    assert refused.state == optuna.trial.TrialState.PRUNED
    assert refused.constraints["bytes"] > 0
    assert refused.constraints["flops"] > 0
    assert complete.constraints == {"bytes": -0.2, "flops": -0.5}


def test_samplers_keep_away_from_what_is_refused(tmp_path):
    space = SearchSpace.from_dict(
        {
            "layers": [
                {
                    "match": "*",
                    "share": True,
                    "schemes": [{"scheme": "prune", "density": {"low": 0.01, "high": 1.0}}],
                }
            ],
            "recipe": {"method": "direct"},
        }
    )
    limits = Limits(OBJECTIVES, {"nonzeros": 30}, METRICS)
    setup = Setup(limits.objectives, space, {"accuracy": 1.0, "bytes": 1e4}, trials=30)
    study = Study.create(tmp_path, setup, CONTEXT.model)
    study.excess = limits.excess
    refused = []
    for number in range(30):
        trial = study.ask()
        record = limits.precheck(trial, CONTEXT)
        refused.append(record is not None)
        metrics = {"accuracy": 0.5, "bytes": 1000.0 + number, "nonzeros": 20.0}
        study.tell(record or trial.record(Status.COMPLETE, metrics))
    assert sum(refused[15:]) < sum(refused[:15])

import dataclasses
import math

import numpy as np
import pytest

from autocompress.explore.proposals.guided import Guided
from autocompress.explore.proposals.mutation import Breeder
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers


def outcome(params):
    """Accuracy that falls, and bytes that fall, with what is taken away; prune pays best."""
    cost, size = 0.0, 100.0
    for group, weights in (("0", 600), ("2", 200), ("4", 40)):
        scheme = params[f"{group}.scheme"]
        if scheme == "prune":
            density = params[f"{group}.prune.density"]
            cost, size = cost + 0.02 * math.log(0.5 / density) ** 2, size + 6 * weights * density
        elif scheme == "codebook":
            k = params[f"{group}.codebook.k"]
            cost, size = cost + 0.3 / k, size + weights * math.log2(k) / 8
        else:
            size += 4 * weights
    cost += 0.02 * abs(math.log(params["recipe.mu.scale"]))
    cost += 0.05 * (params["recipe.penalty"] == "quadratic")
    return {"accuracy": 0.95 - cost, "bytes": size}


def record(number, params, status=Status.COMPLETE):
    metrics = outcome(params) if status is Status.COMPLETE else {}
    return TrialRecord(
        number, status, {}, metrics, digest=repr(sorted(params.items())), params=params
    )


def search(proposer, breeder, trials, start=8):
    records = [record(n, breeder.random(np.random.default_rng(n))) for n in range(start)]
    for number in range(start, trials):
        proposal = proposer.propose(number, records)
        records.append(record(number, proposal.params))
    return records


def digest(params):
    return repr(sorted(params.items()))


def volume(records, objectives):
    from autocompress.analysis.front import Front

    return Front.from_records(records, objectives).hypervolume()


@pytest.fixture
def guided(breeder, objectives):
    return Guided(breeder, objectives, seed=0, digest=digest)


def test_it_finds_a_better_front_than_chance(guided, breeder, objectives):
    found = volume(search(guided, breeder, 40), objectives)
    chance = [record(n, breeder.random(np.random.default_rng(n))) for n in range(160)]
    assert found > volume(chance, objectives)


def test_there_is_nothing_to_learn_from_few_trials(guided, breeder):
    records = [record(n, breeder.random(np.random.default_rng(n))) for n in range(3)]
    assert guided.propose(3, records) is None


def test_proposals_depend_on_seed_and_records_alone(breeder, objectives):
    records = search(Guided(breeder, objectives, seed=0, digest=digest), breeder, 14)
    again = [Guided(breeder, objectives, seed=0, digest=digest) for _ in range(2)]
    other = Guided(breeder, objectives, seed=1, digest=digest)
    assert again[0].propose(14, records) == again[1].propose(14, records)
    assert other.propose(14, records) != again[0].propose(14, records)


def test_nothing_is_proposed_twice(guided, breeder):
    digests = [r.digest for r in search(guided, breeder, 30)]
    assert len(set(digests)) == len(digests)


def test_running_trials_are_not_proposed_again(guided, breeder):
    records = search(guided, breeder, 12)
    first = guided.propose(12, records)
    running = dataclasses.replace(record(12, first.params, Status.RUNNING), metrics={})
    second = guided.propose(13, [*records, running])
    assert digest(second.params) != digest(first.params)


def test_what_fails_is_learnt_from(guided, breeder):
    records = search(guided, breeder, 12)
    failed = [
        record(12 + n, {**records[n].params, "recipe.penalty": "quadratic"}, Status.DIVERGED)
        for n in range(12)
    ]
    assert guided.propose(24, [*records, *failed]) is not None


def test_stopped_trials_are_learnt_from(guided, breeder):
    records = search(guided, breeder, 12)
    proposed = guided.propose(12, records)
    worse = {"accuracy": 0.3, "bytes": outcome(proposed.params)["bytes"]}
    stopped = dataclasses.replace(
        record(12, proposed.params, Status.PRUNED), metrics=worse, digest="another"
    )
    assert guided.propose(12, [*records, stopped]) != proposed
    unmeasured = dataclasses.replace(stopped, metrics={})
    assert guided.propose(12, [*records, unmeasured]) == proposed


def test_candidates_that_cannot_be_are_passed_over(breeder, objectives):
    never = Guided(breeder, objectives, seed=0, digest=lambda params: None)
    records = [record(n, breeder.random(np.random.default_rng(n))) for n in range(8)]
    assert never.propose(8, records) is None


def test_a_space_of_one_candidate_leaves_nothing_to_propose(model, objectives):
    rules = [{"match": "*", "schemes": [{"scheme": "binary"}]}]
    only = Breeder(SearchSpace.from_dict({"name": "one", "layers": rules}), find_layers(model))
    records = [TrialRecord(n, Status.COMPLETE, {}, {"accuracy": 0.9, "bytes": 9}) for n in range(8)]
    assert Guided(only, objectives, seed=0, digest=digest).propose(8, records) is None


def test_local_moves_alone(breeder, objectives):
    local = Guided(breeder, objectives, seed=0, digest=digest, learns=False)
    records = search(local, breeder, 12)
    assert local.propose(12, records).origin == "local"

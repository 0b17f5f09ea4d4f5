import sys

import numpy as np
import pytest

from autocompress import yamlio
from autocompress.compression import LowRank, Prune
from autocompress.errors import ConfigError, SchemeError
from autocompress.explore.choosers import Random
from autocompress.explore.given import given_seeds, invert
from autocompress.explore.sensible import sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Candidate, Direct
from tests.explore.toys import LAYERS, NET, VARIED, Replay, space

READY = (
    "mixed",
    "everything",
    "low-rank",
    "rank-selection",
    "global-rank",
    "structured-joint",
    "blocks",
    "codebooks",
    "sparsity",
    "uniform-prune",
)
RANKS = """
layers:
  - match: "fc*"
    name: both
    share: true
    schemes:
      - {scheme: prune, density: {low: 0.1, high: 0.5, step: 0.1}}
      - {scheme: low-rank, rank_fraction: {low: 0.1, high: 0.5}}
  - match: conv2
    schemes:
      - {scheme: low-rank, parameters: {low: 0.1, high: 0.9}, conv: {choice: [channel, spatial]}}
      - {scheme: dense}
recipe: {mu: {steps: {low: 8, high: 20}}, batch_size: {choice: [32, 64]}}
"""


@pytest.mark.parametrize("name", READY)
def test_every_candidate_of_a_space_is_found_again(name):
    chosen = SearchSpace.load(name)
    for seed in range(8):
        candidate = chosen.sample(Random(np.random.default_rng(seed)), LAYERS)
        (found,) = given_seeds(chosen, NET, [candidate.to_dict()])
        assert found.origin == "given"
        assert found.candidate.digest(NET) == candidate.digest(NET)
        again = chosen.sample(Replay(found.params), LAYERS)
        assert again.digest(NET) == candidate.digest(NET)


def plan(**schemes) -> Plan:
    return Plan([Task(name, f"{name}.weight", scheme) for name, scheme in schemes.items()])


def test_any_fraction_that_gives_the_rank_will_do():
    chosen = space(RANKS)
    wanted = plan(fc1=LowRank(5), fc2=LowRank(3), conv2=LowRank(2, conv="spatial"))
    found = invert(chosen, NET, wanted, None)
    assert found.candidate.plan.digest(NET) == wanted.digest(NET)
    assert found.params["both.scheme"] == "low-rank"
    assert found.params["conv2.low-rank.conv"] == "spatial"
    assert found.candidate.recipe == sensible_recipe(chosen)[0]


def test_a_recipe_is_put_into_the_terms_of_the_space_too():
    both = plan(fc1=Prune(0.3), fc2=Prune(0.3))
    found = invert(space(RANKS), NET, both, LC(mu={"steps": 9}, batch_size=64))
    assert found.params["recipe.mu.steps"] == 9
    assert found.params["recipe.batch_size"] == 64
    assert found.params["both.prune.density"] == pytest.approx(0.3)
    assert found.params["conv2.scheme"] == "dense"


def bad(text, wanted, recipe=None):
    with pytest.raises(ConfigError) as caught:
        invert(space(text), NET, wanted, recipe)
    return str(caught.value)


def test_what_does_not_fit_is_named_with_what_would():
    both = plan(fc1=Prune(0.3), fc2=Prune(0.3))
    said = bad(RANKS, plan(fc1=Prune(0.7), fc2=Prune(0.7)))
    assert said == "layer 'fc1': prune.density = 0.7: the space accepts 0.1 to 0.5 in steps of 0.1"
    assert bad(RANKS, plan(fc1=Prune(0.33), fc2=Prune(0.33))).startswith("layer 'fc1': prune.den")
    said = bad(RANKS, plan(fc1=Prune(0.3), fc2=Prune(0.2)))
    assert said.startswith("layers 'fc1', 'fc2': in the space they are of one choice, and the plan")
    assert "layer 'fc2': prune(density=0.2)" in said
    said = bad(RANKS, plan(fc1=LowRank(12), fc2=LowRank(8)))
    assert said == (
        "layer 'fc1': low-rank(rank=12): the space takes a low-rank.rank_fraction of 0.1 to 0.5"
    )
    said = bad(RANKS, Plan([*both.tasks, Task("c", "conv2.weight", Prune(0.5))]))
    assert said == "layer 'conv2': scheme = prune(density=0.5): the space accepts low-rank, dense"
    said = bad(RANKS, Plan([*both.tasks, Task("c", "conv1.weight", Prune(0.5))]))
    assert said == "layer 'conv1': prune(density=0.5): no rule of the space is for it"
    assert bad(RANKS, Plan([])) == (
        "layers 'fc1', 'fc2': no compression: the space accepts prune, low-rank"
    )
    said = bad(RANKS, Plan([Task("all", ["fc1.weight", "fc2.weight"], Prune(0.3))]))
    assert said.startswith("layers 'fc1', 'fc2': prune(density=0.3) jointly")
    assert bad(RANKS, both, LC(batch_size=128)) == (
        "recipe.batch_size = 128: the space accepts 32, 64"
    )
    assert bad(RANKS, both, LC(batch_size=64, lr_decay=0.5)).startswith("recipe.lr_decay = 0.5")
    assert bad(RANKS, both, Direct()) == "recipe.method = 'direct': the space accepts lc"


def test_messages_begin_with_the_file_and_the_space(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yamlio.dumps(plan(fc1=Prune(0.9)).to_dict()))
    with pytest.raises(ConfigError) as caught:
        given_seeds(space(VARIED), NET, [path])
    text = f"{path}: a seed plan that does not fit the space 'varied': layer 'fc1': "
    assert str(caught.value).startswith(text)
    with pytest.raises(ConfigError, match=r"seeds\[0\]: a seed plan .* unknown .*fc9"):
        given_seeds(space(VARIED), NET, [plan(fc9=Prune(0.1)).to_dict()])
    with pytest.raises(ConfigError, match="cannot be read"):
        given_seeds(space(VARIED), NET, [tmp_path / "none.yaml"])


def test_a_broken_constraint_does_not_fit():
    text = RANKS + "constraints: [recipe.steps >= 10]\n"
    wanted = plan(fc1=Prune(0.3), fc2=Prune(0.3))
    assert "breaks the constraint" in bad(text, wanted, LC(mu={"steps": 9}, batch_size=32))


def test_equal_plans_are_tried_once():
    data = Candidate(plan(fc1=LowRank(3)), LC()).to_dict()
    found = given_seeds(space(VARIED), NET, [data, data])
    assert len(found) == 1


def test_a_plan_is_no_reason_to_import_code():
    data = {"tasks": [{"name": "a", "params": "fc1.weight", "compression": {"scheme": "this:S"}}]}
    with pytest.raises(SchemeError, match=r"seeds\[0\].*code of another package"):
        given_seeds(space(VARIED), NET, [data])
    assert "this" not in sys.modules

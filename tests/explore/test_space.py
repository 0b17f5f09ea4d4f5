import json

import optuna
import pytest
from torch import nn

from autocompress import LC, MuSchedule, yamlio
from autocompress.compression import Prune
from autocompress.errors import ConfigError, SchemeError, UnknownName
from autocompress.explore.ranges import Range
from autocompress.explore.rules import Rule
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate, Direct
from tests.explore.toys import LAYERS, NET, VARIED, Random, Replay, space


def test_a_candidate_is_what_the_parameters_say():
    params = {
        "conv1.scheme": "prune",
        "conv1.prune.density": 0.25,
        "conv2.scheme": "structure-prune",
        "conv2.structure-prune.density": 0.5,
        "fc1.scheme": "prune,codebook",
        "fc1.prune,codebook.prune.density": 0.125,
        "fc1.prune,codebook.codebook.k": 4,
        "recipe.mu": "custom",
        "recipe.mu.custom.start": 1e-3,
        "recipe.mu.custom.steps": 10,
    }
    candidate = space(VARIED).sample(Replay(params), LAYERS)
    assert str(candidate.plan) == (
        "conv1: prune(density=0.25); conv2: structure-prune(density=0.5); "
        "fc1: compose(of=[prune(density=0.125), codebook(k=4)])"
    )
    assert candidate.recipe == LC(mu=MuSchedule(start=1e-3, factor=1.2, steps=10))


def test_any_draw_resolves_on_the_model_and_replays():
    chosen = space(VARIED)
    for seed in range(50):
        chooser = Random(seed)
        candidate = chosen.sample(chooser, LAYERS)
        candidate.plan.resolve(NET)
        assert chosen.sample(Replay(chooser.params), LAYERS) == candidate
        assert Candidate.from_dict(json.loads(json.dumps(candidate.to_dict()))) == candidate


def test_optuna_trials_are_choosers():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    candidate = space(VARIED).sample(trial, LAYERS)
    fixed = optuna.trial.FixedTrial(trial.params)
    assert space(VARIED).sample(fixed, LAYERS) == candidate


def test_a_space_is_built_from_python_objects_just_as_from_yaml():
    built = SearchSpace(
        "mine",
        [Rule("*", [{"scheme": "prune", "density": Range(0.1, 0.5, log=True)}, Prune(0.9)])],
        {"mu": {"start": Range(1e-4, 1e-2, log=True)}},
    )
    text = """
    name: mine
    layers:
      - match: "*"
        schemes:
          - {scheme: prune, density: {low: 0.1, high: 0.5, log: true}}
          - {scheme: prune, density: 0.9}
    recipe: {mu: {start: {low: 1e-4, high: 1e-2, log: true}}}
    """
    assert built == space(text)
    assert SearchSpace("fixed", built.rules, LC(epochs_per_step=3)).sample(
        Random(), LAYERS
    ).recipe == LC(epochs_per_step=3)


def test_a_space_is_stored_whole():
    chosen = space(VARIED)
    stored = json.loads(json.dumps(chosen.to_dict()))
    assert SearchSpace.from_dict(stored) == chosen
    assert SearchSpace.from_dict(yamlio.loads(yamlio.dumps(stored))) == chosen


def test_direct_candidates_have_no_recipe_parameters():
    chosen = space(
        VARIED.split("recipe:")[0]
        + "recipe: {method: {choice: [lc, direct]}, mu: {start: {low: 0.1, high: 1}}}"
    )
    seen = set()
    for seed in range(20):
        chooser = Random(seed)
        recipe = chosen.sample(chooser, LAYERS).recipe
        seen.add(type(recipe))
        assert ("recipe.mu.start" in chooser.params) == isinstance(recipe, LC)
    assert seen == {LC, Direct}


def test_whole_numbers_are_drawn_for_steps_and_epochs():
    chosen = space(
        VARIED.split("recipe:")[0]
        + "recipe: {epochs_per_step: {low: 1, high: 3}, batch_size: {choice: [64, 128]},"
        " first_step_epochs: {low: 1, high: 9, log: true}, lr_decay: {low: 1, high: 1}}"
    )
    recipe = chosen.sample(Random(), LAYERS).recipe
    assert isinstance(recipe.epochs_per_step, int)
    assert isinstance(recipe.first_step_epochs, int)


def test_weights_are_given_by_parameter_name():
    assert space(VARIED).weights(LAYERS) == {
        f"{name}.scheme": {"dense": 0.2, "prune": 0.6, "structure-prune": 0.2}
        for name in ("conv1", "conv2")
    }


def test_a_model_that_is_itself_a_layer_has_a_parameter_name():
    linear = nn.Linear(8, 4)
    chooser = Random()
    chosen = space(
        "layers: [{match: '*', schemes: [{scheme: prune, density: {low: 0.1, high: 1}}]}]"
    )
    candidate = chosen.sample(chooser, find_layers(linear))
    assert list(chooser.params) == ["model.prune.density"]
    expected = Plan([Task("model", ["weight"], Prune(chooser.params["model.prune.density"]))])
    assert candidate.plan == expected
    candidate.plan.resolve(linear)


def test_check_finds_what_only_some_candidates_run_into():
    chosen = space(
        """
        layers:
          - match: fc1
            schemes:
              - {scheme: dense}
              - {scheme: compose, of: [{scheme: prune, density: 1}, {scheme: low-rank, rank: 1}]}
        """
    )
    chosen.sample(Replay({"fc1.scheme": "dense"}), LAYERS)
    with pytest.raises(SchemeError, match=r"space\.yaml: layers\[0\]: 'prune,low-rank' on fc1"):
        chosen.check(LAYERS)
    space(VARIED).check(LAYERS)


GOOD = "layers: [{match: '*', schemes: [{scheme: dense}]}]\n"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("name: a", ConfigError, "space.yaml: the key 'layers' is missing"),
        (
            GOOD + "recipes: {}",
            UnknownName,
            "space.yaml: unknown key 'recipes': did you mean 'recipe'",
        ),
        ("layers: {}", ConfigError, r"space\.yaml: layers = \{\}: accepted is a list of rules"),
        ("layers: []", ConfigError, "space.yaml: at least one rule"),
        ("layers: [{match: '*'}]", ConfigError, r"space\.yaml: layers\[0\]: the key 'schemes'"),
        (
            "layers: [{match: '*', schemes: [{scheme: prune, density: {low: 2, high: 1}}]}]",
            ConfigError,
            r"space\.yaml: layers\[0\]\.schemes\[0\]\.density: low = 2 is above high = 1",
        ),
        (GOOD + "recipe: auto", ConfigError, "space.yaml: recipe: expected a mapping"),
        (GOOD + "recipe: {mu: {start: {low: 0, high: 1}}}", ConfigError, "recipe: .*start"),
        (
            GOOD + "recipe: {method: sgd}",
            ConfigError,
            r"recipe\.method = 'sgd': known are lc, direct",
        ),
        (GOOD + "recipe: {epochs: 3}", UnknownName, "space.yaml: recipe: .*'epochs'"),
        (GOOD + "recipe: {mu: {strt: 1}}", ConfigError, "space.yaml: recipe: .*'strt'.*'start'"),
        (GOOD + "recipe: {method: direct, mu: auto}", ConfigError, "recipe: .*'mu'"),
        (GOOD + "recipe: {penalty: {choice: [quadratic, exact]}}", ConfigError, "'exact'"),
        (
            GOOD + "recipe: {optimizer: {name: sgd, lr: {low: 0, high: 1, log: true}}}",
            ConfigError,
            r"space\.yaml: recipe\.optimizer\.lr: low = 0 with log",
        ),
    ],
)
def test_errors_name_file_key_value_and_what_is_accepted(text, error, message):
    with pytest.raises(error, match=message):
        space(text)

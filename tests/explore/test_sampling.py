from collections import Counter

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from autocompress.errors import UnknownName
from autocompress.explore.sampling import SAMPLERS, derive_seed, make_sampler
from tests.explore.toys import LAYERS, VARIED, metrics, space

SPACE = space(VARIED)
WEIGHTS = SPACE.weights(LAYERS)


def study(sampler):
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def draw(chosen):
    """Ask for one trial and return it with its candidate."""
    trial = chosen.ask()
    return trial, SPACE.sample(trial, LAYERS)


def values(candidate):
    return list(metrics(str(candidate)).values())


def grow(chosen, trials):
    found = []
    for _ in range(trials):
        trial, candidate = draw(chosen)
        chosen.tell(trial, values(candidate))
        found.append(candidate)
    return found


def sampler(name, seed=0, trials=40):
    return make_sampler(name, seed=seed, trials=trials, weights=WEIGHTS)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_the_seed_decides_and_different_seeds_differ(name):
    first, again, other = (grow(study(sampler(name, seed)), 30) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random", "gp"])
def test_a_new_sampler_continues_where_the_old_one_was(name):
    trials = 9 if name == "gp" else 30
    whole = study(sampler(name))
    expected = grow(whole, trials)
    part = study(sampler(name))
    found = grow(part, trials // 2)
    resumed = study(sampler(name))
    for trial in part.get_trials():
        resumed.add_trial(trial)
    assert found + grow(resumed, trials - trials // 2) == expected


@pytest.mark.parametrize("name", SAMPLERS)
def test_running_trials_do_not_get_the_same_suggestion(name):
    chosen = study(sampler(name))
    grow(chosen, 8)
    candidates = [draw(chosen)[1] for _ in range(3)]
    assert len({str(candidate) for candidate in candidates}) == 3


def test_weights_are_the_probabilities_of_blind_draws():
    chosen = study(sampler("random"))
    counts = Counter(draw(chosen)[0].params["conv1.scheme"] for _ in range(400))
    assert 200 < counts["prune"] < 280  # 0.6 of 400, three standard deviations are 29
    assert 50 < counts["dense"] < 110


def test_tpe_learns_against_the_weights():
    chosen = study(sampler("tpe", trials=60))
    for _ in range(60):
        trial, _ = draw(chosen)
        good = trial.params["conv1.scheme"] == "dense"
        chosen.tell(trial, [float(good), 1.0 - good])
    late = [trial.params["conv1.scheme"] for trial in chosen.get_trials()[-20:]]
    assert late.count("dense") > 12  # its weight alone would give 4


def test_tpe_draws_conditional_parameters_near_good_ones():
    chosen = study(sampler("tpe", trials=80))
    for _ in range(80):
        trial, _ = draw(chosen)
        density = trial.params.get("conv2.prune.density")
        loss = 1.0 if density is None else abs(density - 0.1)
        chosen.tell(trial, [-loss, loss])
    late = [t.params.get("conv2.prune.density", 9) for t in chosen.get_trials()[-20:]]
    assert sum(0.05 < density < 0.2 for density in late) > 10


def test_parameters_that_come_together_are_drawn_together():
    inner = []

    class Spy(optuna.samplers.TPESampler):
        def sample_relative(self, study, trial, search_space):
            inner.extend([set(search_space)] if search_space else [])
            return super().sample_relative(study, trial, search_space)

    chosen_sampler = sampler("tpe")
    chosen_sampler._make = lambda seed: Spy(seed=seed, multivariate=True, n_startup_trials=4)
    chosen = study(chosen_sampler)
    grow(chosen, 30)
    inner.clear()
    trial, _ = draw(chosen)
    pair = {"fc1.prune,codebook.prune.density", "fc1.prune,codebook.codebook.k"}
    assert all(group == pair for group in inner if group & pair)
    assert sum(len(group) for group in inner) < len(WEIGHTS) + len(trial.params) + 1
    assert all(group & set(trial.params) for group in inner)  # none drawn in vain


def test_an_unknown_sampler_names_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean 'nsga[23]'"):
        make_sampler("nsga", seed=0, trials=10)


def test_derived_seeds_depend_on_every_part():
    seeds = [derive_seed(*parts) for parts in [(0,), (1,), (0, 1), (0, "1"), (0, 1, "a"), (1, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_distribution_that_changed_is_drawn_alone():
    chosen = study(sampler("tpe"))
    for number in range(10):
        trial = chosen.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("kind", ["a", "b"])
        chosen.tell(trial, [number, number])
    trial = chosen.ask({"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])})
    assert trial.params["kind"] in ("a", "b")
    wider = chosen.ask()
    assert 5 <= wider.suggest_float("x", 5, 6) <= 6

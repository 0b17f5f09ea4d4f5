from autocompress.explore.seeding import make_seeds
from autocompress.recipe import LC
from tests.explore.toys import LAYERS, NET, PRUNE, VARIED, Replay, space


def plans(text, trials):
    return [
        (seed.origin, str(seed.candidate.plan)) for seed in make_seeds(space(text), LAYERS, trials)
    ]


def test_the_dense_model_comes_first_and_then_each_scheme_at_the_middle():
    text = """
    layers:
      - match: fc*
        schemes:
          - {scheme: prune, density: {low: 0.01, high: 0.25, log: true}}
          - {scheme: codebook, k: {low: 2, high: 10}}
          - {scheme: dense}
    """
    assert plans(text, 16) == [
        ("dense", "dense"),
        ("uniform", "fc1: prune(density=0.05); fc2: prune(density=0.05)"),
        ("uniform", "fc1: codebook(k=6); fc2: codebook(k=6)"),
        ("uniform", "fc1: prune(density=0.0223607); fc2: prune(density=0.0223607)"),
    ]


def test_density_one_is_the_dense_model_too():
    found = make_seeds(space(PRUNE), LAYERS, 8)
    assert [seed.origin for seed in found] == ["dense", "uniform"]
    assert found[0].candidate.plan.canonical(NET).tasks == ()


def test_a_space_without_the_dense_model_starts_with_uniform_ones():
    text = PRUNE.replace("1.0", "0.5")
    assert {origin for origin, _ in plans(text, 40)} == {"uniform"}


def test_layers_that_lack_a_scheme_stay_dense_or_take_their_first():
    found = dict(enumerate(plan for _, plan in plans(VARIED, 40)))
    assert found[0].startswith(
        "conv1: prune(density=0.1); conv2: prune(density=0.1); fc1: low-rank"
    )
    assert found[2] == "fc1: low-rank(rank=4)"  # the convolutions may be dense


def test_seeds_are_points_of_the_space_and_differ():
    chosen = space(VARIED)
    found = make_seeds(chosen, LAYERS, 100)
    for seed in found:
        assert chosen.sample(Replay(seed.params), LAYERS) == seed.candidate
    assert len({str(seed.candidate) for seed in found}) == len(found)


def test_seeds_take_at_most_a_quarter_of_the_trials():
    for trials in (1, 3, 4, 24, 1000):
        assert len(make_seeds(space(VARIED), LAYERS, trials)) <= trials / 4
    assert len(make_seeds(space(VARIED), LAYERS, 1000)) < 50


def test_a_space_of_one_candidate_has_one_seed():
    found = make_seeds(
        space("layers: [{match: fc1, schemes: [{scheme: cast, dtype: float16}]}]"), LAYERS, 40
    )
    assert len(found) == 1
    assert found[0].params == {}


def test_recipes_are_sensible_ones():
    (seed, *_) = make_seeds(space(VARIED), LAYERS, 8)
    assert seed.candidate.recipe == LC()
    text = (
        PRUNE
        + "recipe: {mu: {start: {low: 1e-4, high: 1e-2, log: true}, steps: {low: 8, high: 20}}}"
    )
    recipe = make_seeds(space(text), LAYERS, 8)[1].candidate.recipe
    assert (recipe.mu.start, recipe.mu.steps) == (1e-3, 20)

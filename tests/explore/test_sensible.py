from autocompress.explore.sensible import sensible_recipe
from autocompress.recipe import LC, SGD, Adam
from tests.explore.toys import PRUNE, Replay, space


def recipe(text):
    chosen = space(PRUNE + "recipe: " + text)
    found, params = sensible_recipe(chosen)
    assert chosen.recipe.sample(Replay(params)) == found
    return found


def test_what_is_automatic_stays_so():
    found = recipe("{mu: {start: {choice: [{low: 1, high: 2}, auto]}, factor: auto, steps: 5}}")
    assert (found.mu.start, found.mu.factor, found.mu.steps) == ("auto", "auto", 5)


def test_ranges_are_taken_as_near_to_the_default_as_they_come():
    found = recipe("{mu: {scale: {low: 0.3, high: 3, log: true}, steps: {low: 8, high: 12}}}")
    assert (found.mu.scale, found.mu.steps) == (1.0, 12)
    assert recipe("{mu: {scale: {low: 2, high: 3}}}").mu.scale == 2
    assert recipe("{mu: {steps: {low: 7, high: 31, step: 8}}}").mu.steps == 23
    found = recipe(
        "{optimizer: {name: sgd, lr: {low: 0.1, high: 1}}, batch_size: {low: 1, high: 9}}"
    )
    assert (found.optimizer.lr, found.batch_size) == (0.1, 9)


def test_a_range_of_what_has_no_number_by_default_is_taken_at_its_middle():
    assert recipe("{mu: {start: {low: 1e-4, high: 1e-2, log: true}}}").mu.start == 1e-3
    assert recipe("{epochs_per_step: {low: 1, high: 5}}").epochs_per_step == 3


def test_choices_take_the_default_if_they_have_it_and_else_the_first():
    assert recipe("{penalty: {choice: [quadratic, augmented-lagrangian]}}").penalty == LC().penalty
    assert recipe("{batch_size: {choice: [32, 64]}}").batch_size == 32
    assert recipe("{method: {choice: [direct, lc]}}") == LC()


def test_optimizers_have_defaults_of_their_own():
    both = "[{name: adam, lr: {low: 1e-4, high: 1}}, {name: sgd, lr: {low: 1e-4, high: 1}}]"
    assert recipe(f"{{optimizer: {{choice: {both}}}}}").optimizer == SGD(lr=0.05)
    one = "[{name: adam, lr: {low: 1e-4, high: 1}}, {name: adam, lr: {low: 0.5, high: 1}}]"
    assert recipe(f"{{optimizer: {{choice: {one}}}}}").optimizer == Adam(lr=1e-3)

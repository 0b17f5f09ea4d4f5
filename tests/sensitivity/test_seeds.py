import numpy as np

from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.sensitivity.knapsack import Frontier
from autocompress.sensitivity.seeds import make_seeds, sensitivity_seeds, solve_table, spread
from tests.explore.toys import Replay, space


def test_seeds_are_points_of_the_space_on_the_frontier(table, toy, digits_cnn):
    layers = find_layers(digits_cnn)
    frontier = solve_table(table)
    seeds = sensitivity_seeds(toy, layers, table, 7)
    assert len(seeds) == 7
    for seed in seeds:
        assert seed.origin == "knapsack"
        assert toy.sample(Replay(seed.params), layers) == seed.candidate
        at = frontier.at(table.predict_bits(seed.params) - table.rest_bits + 0.5)
        assert np.isclose(frontier.losses[at], table.predict(seed.params))


def test_seeds_are_spread_evenly_ends_and_middle_first(table):
    size = np.exp(np.linspace(5, 10, 501))
    loss = np.linspace(1.0, 0.0, 501) * 0.4 * table.chance
    loss = np.where(loss < 0.1 * table.chance, 0.1 * loss, loss)
    frontier = Frontier(size - table.rest_bits, loss, np.zeros((501, 1), dtype=np.int32))
    found = np.log(size[spread(frontier, 5, table)])
    top = np.log(2 * size[np.argmax(loss <= 0.01 * table.chance)])
    assert np.allclose(found, 5 + (top - 5) * np.array([0, 1, 0.5, 0.25, 0.75]), atol=0.01)


def test_what_is_hopeless_or_larger_than_need_be_is_left_out(table):
    loss = np.array([3.0, 0.6, 0.4, 0.1, 0.005, 0.001]) * table.chance
    size = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 12.0]) * 1e6
    frontier = Frontier(size, loss, np.zeros((6, 1), dtype=np.int32))
    assert spread(frontier, 10, table).tolist() == [2, 4, 3]
    assert spread(frontier.take(np.arange(2)), 10, table).tolist() == [1]
    assert spread(frontier, 1, table).tolist() == [2]


def test_there_is_room_above_what_seems_harmless(table):
    loss = np.array([0.4, 0.1, 0.009, 0.008, 0.007, 0.001]) * table.chance
    size = np.array([1.0, 2.0, 3.0, 4.0, 5.9, 7.0]) * 1e6
    frontier = Frontier(size, loss, np.zeros((6, 1), dtype=np.int32))
    assert sorted(spread(frontier, 10, table).tolist()) == [0, 1, 2, 3, 4]


def test_the_first_candidates_of_a_sweep(table, toy, digits_cnn):
    layers = find_layers(digits_cnn)
    seeds = make_seeds(toy, layers, table, 48)
    origins = [seed.origin for seed in seeds]
    assert origins == ["knapsack"] * 10 + ["uniform"] * 2  # the linear layers cannot be dense
    assert len(make_seeds(toy, layers, table, 3)) == 0
    assert len({str(seed.candidate) for seed in seeds}) == len(seeds)


def test_ranks_are_learned_where_the_space_has_them(digits, digits_cnn):
    from autocompress.sensitivity import measure

    text = """
    layers:
      - match: "*"
        schemes:
          - {scheme: dense}
          - {scheme: low-rank, rank_fraction: {low: 0.1, high: 0.5}}
          - {scheme: rank-selection, alpha: {low: 1e-6, high: 1e-4, log: true}}
    """
    chosen, layers = space(text), find_layers(digits_cnn)
    seeds = make_seeds(chosen, layers, measure(digits_cnn, digits, chosen, levels=3), 24)
    origins = [seed.origin for seed in seeds]
    assert origins[0] == "dense"
    assert origins[-4:] == ["uniform"] * 2 + ["rank-selection"] * 2
    assert set(origins[1:-4]) == {"knapsack"}
    assert "rank-selection" in str(seeds[-1].candidate.plan)


def test_seeds_keep_the_constraints(table, toy, digits_cnn):
    chosen = SearchSpace("toy", toy.rules, toy.recipe, constraints=["conv1.scheme == dense"])
    seeds = make_seeds(chosen, find_layers(digits_cnn), table, 24)
    assert seeds
    assert {seed.params["conv1.scheme"] for seed in seeds} == {"dense"}

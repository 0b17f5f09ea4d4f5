import pytest

from autocompress.errors import ConfigError
from autocompress.explore.space import SearchSpace
from autocompress.sensitivity import make_picks
from tests.explore.toys import LAYERS, PRUNE, VARIED, Replay, space


def test_every_choice_is_there_and_ranges_are_taken_from_end_to_end():
    text = """
    layers:
      - match: fc1
        schemes:
          - {scheme: dense}
          - {scheme: prune, density: {low: 0.01, high: 1.0, log: true}}
          - {scheme: codebook, k: {low: 2, high: 4}}
    """
    picks = make_picks(space(text), LAYERS, levels=5)
    assert [pick.label for pick in picks] == ["dense"] + ["prune"] * 5 + ["codebook"] * 3
    densities = [pick.params["fc1.prune.density"] for pick in picks[1:6]]
    assert densities == pytest.approx([0.01, 10**-1.5, 0.1, 10**-0.5, 1.0])
    assert [pick.params["fc1.codebook.k"] for pick in picks[6:]] == [2, 3, 4]
    assert picks[0].tasks == ()
    assert picks[5].tasks[0].compression.density == 1.0


def test_picks_are_what_the_space_makes_of_their_parameters():
    for name in ("mixed", "everything", "structured-joint", "sparsity"):
        chosen = SearchSpace.load(name)
        groups = {group.name: group for group in chosen.groups(LAYERS)}
        for pick in make_picks(chosen, LAYERS, levels=3):
            replay = Replay(pick.params)
            assert tuple(groups[pick.group].sample(replay)) == pick.tasks
            assert pick.domains.keys() == pick.params.keys()


def test_options_of_several_ranges_have_fewer_levels_each():
    picks = make_picks(space(VARIED), LAYERS, levels=8)
    composed = [p for p in picks if p.label == "prune,codebook"]
    assert len(composed) == 8 * 3  # all levels fit
    text = """
    layers:
      - match: fc1
        schemes:
          - scheme: compose
            of:
              - {scheme: prune, density: {low: 0.01, high: 1.0, log: true}}
              - {scheme: codebook, k: {low: 2, high: 64, log: true}}
    """
    picks = make_picks(space(text), LAYERS, levels=8)
    assert len(picks) == 25  # 5 x 5 of at most 32
    assert "fc1.scheme" not in picks[0].params  # there is nothing to choose


def test_choices_inside_options_bring_their_own_parameters():
    text = """
    layers:
      - match: fc1
        schemes:
          - scheme: compose
            of:
              - {scheme: prune, density: 0.5}
              - choice:
                  - {scheme: codebook, k: {low: 2, high: 4}}
                  - {scheme: cast, dtype: float16}
    """
    picks = make_picks(space(text), LAYERS)
    schemes = [pick.tasks[0].compression.of[1].name for pick in picks]
    assert schemes == ["codebook"] * 3 + ["cast"]
    assert set(picks[-1].params) < set(picks[0].params)


def test_shared_and_joint_groups_are_one_choice():
    text = PRUNE.replace('match: "*"', 'match: "*", joint: true')
    picks = make_picks(space(text), LAYERS, levels=3)
    assert [len(pick.tasks[0].params) for pick in picks] == [4, 4, 4]
    text = PRUNE.replace('match: "*"', 'match: "*", share: true')
    assert [len(pick.tasks) for pick in make_picks(space(text), LAYERS, levels=3)] == [4, 4, 4]


def test_one_level_is_too_few():
    with pytest.raises(ConfigError, match="levels = 1: accepted is an integer of at least 2"):
        make_picks(space(PRUNE), LAYERS, levels=1)

import itertools

import pytest

import autocompress as ac
from autocompress.explore.distance import FAMILY, NEAR, distance, nearest, profile

from .toys import NET

NAMES = ("conv1", "conv2", "fc1", "fc2")


def plan(*schemes):
    pairs = zip(itertools.cycle(schemes), NAMES, strict=False)
    return ac.Plan([ac.Task(name, [f"{name}.weight"], scheme) for scheme, name in pairs])


def apart(ours, theirs):
    return distance(profile(ours, NET), profile(theirs, NET))


PLANS = [
    ac.Plan([]),
    plan(ac.Prune(0.1)),
    plan(ac.Prune(0.2)),
    plan(ac.Codebook(4)),
    plan(ac.Prune(0.1), ac.Codebook(4)),
    plan(ac.Compose([ac.Prune(0.2), ac.Codebook(4)])),
    ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(0.2))]),
    ac.Plan([ac.Task("fc1", ["fc1.weight"], ac.LowRank(rank=2))]),
]


def test_it_is_a_metric():
    for a in PLANS:
        assert apart(a, a) == 0
        for b in PLANS:
            assert apart(a, b) == apart(b, a)
            for c in PLANS:
                assert apart(a, c) <= apart(a, b) + apart(b, c) + 1e-12


def test_twice_the_bits_are_one_apart_and_another_family_is_more():
    assert apart(plan(ac.Prune(0.1)), plan(ac.Prune(0.2))) == pytest.approx(1, abs=0.3)
    assert apart(plan(ac.Prune(0.1)), plan(ac.Codebook(4))) >= FAMILY
    one = plan(ac.Codebook(4), ac.Prune(0.1), ac.Prune(0.1), ac.Prune(0.1))
    assert FAMILY / 4 <= apart(one, plan(ac.Prune(0.1))) <= NEAR


def test_symmetric_plans_are_equal():
    assert apart(plan(ac.Prune(1.0)), ac.Plan([])) == 0
    wide = ac.Plan([ac.Task("fc1", ["fc1.weight"], ac.LowRank(rank=99))])
    assert apart(wide, ac.Plan([])) == 0


def test_a_joint_task_is_near_the_same_task_by_task():
    assert apart(PLANS[6], PLANS[2]) < 0.5


def test_schemes_whose_size_the_weights_decide_are_apart_unless_equal():
    ours, theirs = plan(ac.L1Penalty(1e-3)), plan(ac.L1Penalty(1e-2))
    assert apart(ours, ours) == 0
    assert apart(ours, theirs) == FAMILY


def halve(weight):
    return weight / 2


def test_schemes_of_other_packages_have_a_family_of_their_own():
    uses = profile(plan(ac.scheme(halve)), NET)
    assert [use.family for use in uses.values()] == [ac.scheme(halve).name] * 4
    assert [use.level for use in uses.values()] == [None] * 4


def test_nearest_takes_the_first_of_equals_and_nothing_far():
    ours = profile(PLANS[1], NET)
    others = {number: profile(p, NET) for number, p in enumerate(PLANS)}
    assert nearest(ours, others) == 1
    assert nearest(ours, {7: others[2], 5: others[2], 3: others[0]}) == 5
    assert nearest(ours, {0: others[0], 3: others[3]}) is None
    assert nearest(ours, {3: others[3]}, within=10) == 3
    assert nearest(ours, {}) is None

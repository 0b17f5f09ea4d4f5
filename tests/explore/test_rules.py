import pytest

from autocompress.compression import Codebook, LowRank, Prune, StructurePrune
from autocompress.errors import ConfigError, SchemeError, UnknownName
from autocompress.explore.rules import Rule, make_groups
from tests.explore.toys import LAYERS, Random

PRUNE = Prune(0.5)
STRUCTURE = StructurePrune(0.5)


def groups(*rules):
    return make_groups(rules, LAYERS, "s.yaml")


def names(rule):
    return [layer.name for layer in rule.select(LAYERS, "s.yaml: layers[0]")]


@pytest.mark.parametrize(
    ("match", "options", "expected"),
    [
        ("*", {}, ["conv1", "conv2", "fc1", "fc2"]),
        ("conv*", {}, ["conv1", "conv2"]),
        (["fc2", "conv1"], {}, ["conv1", "fc2"]),
        (["*", "!fc*"], {}, ["conv1", "conv2"]),
        (["*", "!conv*", "conv2"], {}, ["conv2", "fc1", "fc2"]),
        ("*", {"kind": "linear"}, ["fc1", "fc2"]),
        ("*", {"kind": "conv"}, ["conv1", "conv2"]),
        ("*", {"last": False}, ["conv1", "conv2", "fc1"]),
    ],
)
def test_patterns_kinds_and_the_output_layer_select(match, options, expected):
    assert names(Rule(match, [PRUNE], **options)) == expected


def test_a_pattern_that_matches_no_layer_names_the_layers_there_are():
    with pytest.raises(
        ConfigError, match=r"s\.yaml: layers\[0\]\.match: the pattern 'dense\*'.*conv1, conv2, fc1"
    ):
        names(Rule("dense*", [PRUNE]))
    with pytest.raises(ConfigError, match=r"'!dense\*' matches no layer"):
        names(Rule(["*", "!dense*"], [PRUNE]))
    with pytest.raises(UnknownName, match=r"s\.yaml: .*unknown layer 'fc3': did you mean 'fc"):
        names(Rule("fc3", [PRUNE]))


def test_the_first_rule_wins_and_layers_without_one_stay_dense():
    found = groups(Rule("conv1", [Codebook(2)]), Rule("conv*", [PRUNE]))
    assert [(g.name, g.options[0].label) for g in found] == [
        ("conv1", "codebook"),
        ("conv2", "prune"),
    ]


def test_no_rule_for_any_layer_is_an_error():
    with pytest.raises(ConfigError, match=r"s\.yaml: no rule is for any layer.*fc2 \(linear\)"):
        make_groups([Rule("fc*", [PRUNE], kind="conv")], LAYERS, "s.yaml")


def tasks(rule, layers=LAYERS):
    (group,) = make_groups([rule], layers, "")
    return group.sample(Random())


def test_shared_layers_take_one_choice_each_by_itself():
    rule = Rule("*", [{"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}], share=True)
    (group,) = groups(rule)
    chooser = Random()
    found = group.sample(chooser)
    assert list(chooser.params) == ["all.prune.density"]
    assert [task.name for task in found] == ["conv1", "conv2", "fc1", "fc2"]
    assert len({task.compression for task in found}) == 1


def test_joint_layers_are_one_task():
    (task,) = tasks(Rule("conv*", [PRUNE], joint=True))
    assert (task.name, task.params) == ("conv*", ("conv1.weight", "conv2.weight"))


def test_relative_ranks_differ_among_layers_that_share_them():
    rule = Rule("*", [{"scheme": "low-rank", "rank_fraction": 0.5}], share=True)
    assert [task.compression for task in tasks(rule)] == [
        LowRank(2),
        LowRank(4),
        LowRank(8),
        LowRank(5),
    ]
    (joint,) = tasks(Rule("*", [{"scheme": "low-rank", "rank_fraction": 0.5}], joint=True))
    assert joint.compression == LowRank(rank_fraction=0.5)


def test_an_options_weighting_is_the_tasks():
    norms = {"choice": ["identity", "fisher"]}
    prune = {"scheme": "prune", "density": 0.5, "weighting": norms}
    rule = Rule("fc1", [prune, {"scheme": "dense"}])
    seen = set()
    for seed in range(20):
        chooser = Random(seed)
        (group,) = groups(rule)
        for task in group.sample(chooser):
            assert task.weighting == chooser.params["fc1.prune.weighting"]
            seen.add(task.weighting)
    assert seen == {"identity", "fisher"}


def test_the_output_layer_keeps_its_outputs():
    assert [g.name for g in groups(Rule("*", [STRUCTURE]))] == ["conv1", "conv2", "fc1"]
    last = groups(Rule("*", [PRUNE, STRUCTURE]))[-1]
    assert (last.name, [option.label for option in last.options]) == ("fc2", ["prune"])
    assert [t.name for t in tasks(Rule("*", [STRUCTURE], share=True))] == ["conv1", "conv2", "fc1"]
    (joint,) = tasks(Rule("*", [STRUCTURE], joint=True))
    assert joint.params == ("conv1.weight", "conv2.weight", "fc1.weight")


def test_a_layer_that_stays_dense_has_no_task():
    assert tasks(Rule("fc1", [{"scheme": "dense"}])) == []


def test_schemes_that_cannot_apply_name_rule_scheme_and_layer():
    bad = {
        "scheme": "compose",
        "of": [{"scheme": "prune", "density": 0.5}, {"scheme": "low-rank", "rank": 2}],
    }
    with pytest.raises(
        SchemeError, match=r"layers\[0\]: 'prune,low-rank' on fc1: .*needs a matrix"
    ):
        tasks(Rule("fc1", [bad]))


def test_weights_become_probabilities_unless_they_are_equal():
    found = groups(Rule("fc1", [{"scheme": "dense", "weight": 3}, PRUNE]), Rule("fc2", [PRUNE]))
    assert [group.weights for group in found] == [{"dense": 0.75, "prune": 0.25}, None]


def test_names_of_choices_must_differ():
    with pytest.raises(ConfigError, match=r"layers\[1\]: the name 'all' is taken.*another 'name'"):
        groups(
            Rule("*", [PRUNE], share=True, kind="conv", name="all"), Rule("*", [PRUNE], share=True)
        )
    with pytest.raises(ConfigError, match="the name 'fc1' is taken"):
        groups(Rule("fc1", [PRUNE]), Rule("*", [PRUNE], joint=True, name="fc1"))
    both = groups(Rule("*", [PRUNE], share=True, kind="conv"), Rule("*", [PRUNE], share=True))
    assert [group.name for group in both] == ["all-conv", "all"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"match": []}, ConfigError, r"f\.match = \[\]"),
        ({"match": 3}, ConfigError, r"f\.match = 3"),
        ({"match": ["!"]}, ConfigError, r"f\.match"),
        ({"kind": "convolution"}, UnknownName, r"f\.kind: .*did you mean 'conv'"),
        ({"last": "no"}, ConfigError, r"f\.last = 'no': accepted is true or false"),
        ({"name": 3}, ConfigError, r"f\.name = 3"),
        ({"schemes": []}, ConfigError, r"f\.schemes = \[\]"),
        ({"scheme": []}, UnknownName, r"f: unknown key 'scheme': did you mean 'schemes'"),
    ],
)
def test_errors_name_place_key_and_value(changes, error, message):
    data = {"match": "*", "schemes": [{"scheme": "dense"}]} | changes
    with pytest.raises(error, match=message):
        Rule.from_dict(data, where="f")


def test_rules_are_stored_whole():
    rule = Rule(["*", "!fc2"], [PRUNE, {"scheme": "dense", "weight": 2}], kind="linear", joint=True)
    assert Rule.from_dict(rule.to_dict()) == rule

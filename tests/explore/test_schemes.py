import pytest

from autocompress.compression import Cast, Codebook, Compose, LowRank, Prune
from autocompress.errors import ConfigError, SchemeError, UnknownName
from autocompress.explore.ranges import Constant, Range
from autocompress.explore.schemes import Option, parse_options
from tests.explore.toys import Random

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.5}}
CODEBOOK = {"scheme": "codebook", "k": {"low": 2, "high": 16}}


def one(data) -> Option:
    (option,) = parse_options([data], "f")
    return option


def sample(data):
    option, chooser = one(data), Random()
    return option.node.sample(chooser, f"fc.{option.label}"), chooser.params


def test_parameters_are_named_by_layer_scheme_and_field():
    values, params = sample(PRUNE)
    assert list(params) == ["fc.prune.density"]
    assert values == {"scheme": "prune", "density": params["fc.prune.density"]}
    _, params = sample({"scheme": "compose", "of": [PRUNE, CODEBOOK]})
    assert list(params) == ["fc.prune,codebook.prune.density", "fc.prune,codebook.codebook.k"]
    _, params = sample({"scheme": "additive", "of": [CODEBOOK, PRUNE]})
    assert list(params) == ["fc.codebook+prune.codebook.k", "fc.codebook+prune.prune.density"]


def test_the_same_scheme_twice_is_told_apart():
    _, params = sample({"scheme": "additive", "of": [PRUNE, PRUNE]})
    assert list(params) == ["fc.prune+prune2.prune.density", "fc.prune+prune2.prune2.density"]
    labels = [
        option.label for option in parse_options([PRUNE, PRUNE | {"name": "mild"}, PRUNE], "f")
    ]
    assert labels == ["prune", "mild", "prune2"]


def test_a_part_may_itself_be_a_choice_of_schemes():
    cast = {"choice": [{"scheme": "dense"}, {"scheme": "cast", "dtype": "float16"}]}
    seen = set()
    for seed in range(20):
        option, chooser = one({"scheme": "compose", "of": [PRUNE, cast]}), Random(seed)
        values = option.node.sample(chooser, "fc")
        assert values["of"][1]["scheme"] == chooser.params["fc.dense|cast"]
        seen.add(values["of"][1]["scheme"])
    assert seen == {"dense", "cast"}


def test_integers_are_drawn_for_fields_that_are_integers():
    values, _ = sample(CODEBOOK)
    assert isinstance(values["k"], int)
    assert isinstance(one(CODEBOOK).node.fields[0][1], Range)


def test_python_objects_are_options_too():
    fixed = one(Compose([Prune(0.1), Codebook(4), Cast("float16")]))
    assert fixed.label == "prune,codebook,cast"
    assert list(fixed.node.corners()) == [
        {
            "scheme": "compose",
            "of": [
                {"scheme": "prune", "density": 0.1},
                {"scheme": "codebook", "k": 4, "zero": False},
                {"scheme": "cast", "dtype": "float16"},
            ],
        }
    ]
    ranged = one({"scheme": "prune", "density": Range(0.1, 0.5)})
    assert ranged == one(PRUNE)


def test_options_are_stored_whole():
    for data in (
        PRUNE | {"weight": 2, "name": "x"},
        {"scheme": "compose", "of": [PRUNE, CODEBOOK]},
    ):
        option = one(data)
        assert one(option.to_data()) == option


def test_structure_is_known_of_an_option():
    structured = {"scheme": "structure-prune", "density": 0.5}
    assert one(structured).structured
    assert one({"scheme": "compose", "of": [structured, CODEBOOK]}).structured
    assert not one(PRUNE).structured


def fields(data) -> set[str]:
    return {key for key, _ in one(data).node.fields}


def test_a_scheme_named_alone_takes_its_own_ranges():
    assert one({"scheme": "prune"}).node.fields == (("density", Range(0.02, 0.5, log=True)),)
    assert isinstance(dict(one({"scheme": "codebook"}).node.fields)["k"], Range)
    (_, cast) = one(
        {"scheme": "compose", "of": [{"scheme": "prune"}, {"scheme": "cast"}]}
    ).node.of.items
    assert [value for value, _ in dict(cast[1].fields)["dtype"].options][:2] == [
        "float16",
        "bfloat16",
    ]
    assert fields({"scheme": "dense"}) == set()


def test_one_of_several_alternatives_takes_its_range_where_none_is_given():
    assert fields({"scheme": "low-rank"}) == {"rank_fraction"}
    assert fields({"scheme": "low-rank", "conv": "spatial"}) == {"conv", "rank_fraction"}
    assert fields({"scheme": "low-rank", "energy": 0.9}) == {"energy"}
    assert fields(LowRank(3)) == {"rank", "conv"}
    ranks = dict(one({"scheme": "low-rank", "rank": {"low": 1, "high": 5}}).node.fields)["rank"]
    assert ranks.integer
    whole = one({"scheme": "low-rank"})
    assert one(whole.to_data()) == whole


def test_a_weighting_is_a_constant_or_a_choice():
    assert one(PRUNE).weighting == Constant("identity")
    assert "weighting" not in one(PRUNE).to_data()
    option = one(PRUNE | {"weighting": {"choice": ["identity", "fisher"]}})
    assert [norm for _, norm in option.corners()] == ["identity", "fisher"] * 2
    assert one(option.to_data()) == option
    assert one(PRUNE | {"weighting": "activations"}).sample(Random(), "fc")[1] == "activations"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"scheme": "prun", "density": 0.1}, UnknownName, r"f\[0\]: .*did you mean 'prune'"),
        ({"scheme": "prune", "densty": 0.1}, UnknownName, r"f\[0\]: .*did you mean 'density'"),
        ({"scheme": "prune", "rank_fraction": 0.1}, UnknownName, "rank_fraction"),
        ({"scheme": "compose"}, SchemeError, r"f\[0\]: scheme 'compose' needs of"),
        (
            PRUNE | {"weighting": "fsher"},
            UnknownName,
            r"f\[0\]\.weighting: .*did you mean 'fisher'",
        ),
        (PRUNE | {"weighting": 3}, UnknownName, r"f\[0\]\.weighting: unknown weighting 3"),
        (
            {"scheme": "low-rank", "rank": 2} | {"weighting": {"choice": ["identity", "fisher"]}},
            ConfigError,
            r"f\[0\]\.weighting = 'fisher': low-rank\(rank=2\) has no C step under it.*identity",
        ),
        (
            {
                "scheme": "low-rank",
                "weighting": "covariance",
                "conv": {"choice": ["channel", "spatial"]},
            },
            ConfigError,
            r"weighting = 'covariance': low-rank\(conv=spatial, rank_fraction=0\.05\) has no",
        ),
        (PRUNE | {"density": {"low": 0.1, "high": 1.5}}, SchemeError, r"f\[0\].*density = 1\.5"),
        (PRUNE | {"density": {"low": 0, "high": 1}}, SchemeError, r"density = 0\.0 is not in"),
        (PRUNE | {"density": {"choice": [0.1, -1]}}, SchemeError, "density = -1"),
        ({"scheme": "low-rank", "rank": {"low": 0, "high": 5}}, SchemeError, "rank = 0"),
        (
            CODEBOOK | {"k": {"low": 2.5, "high": 5}},
            ConfigError,
            r"f\[0\]\.k: low = 2\.5 is not an",
        ),
        (PRUNE | {"weight": -1}, ConfigError, r"f\[0\]\.weight = -1: accepted is a number above 0"),
        (PRUNE | {"weight": 0}, ConfigError, "above 0"),
        (PRUNE | {"weight": "2x"}, ConfigError, "weight = '2x'"),
        (PRUNE | {"name": ""}, ConfigError, r"f\[0\]\.name = ''"),
        ({"choice": [PRUNE, CODEBOOK]}, ConfigError, "what the list itself is"),
        ({"scheme": "compose", "of": []}, ConfigError, r"f\[0\]\.of = \[\]"),
        (
            {"scheme": "compose", "of": [PRUNE, {"scheme": "cast", "dtype": "x"}]},
            UnknownName,
            "dtype",
        ),
        ({"scheme": "compose", "of": [PRUNE, {"scheme": "csat"}]}, UnknownName, r"f\[0\]\.of\[1\]"),
        ("prune", ConfigError, "a scheme is a mapping with the key 'scheme', not 'prune'"),
    ],
)
def test_errors_name_place_key_value_and_what_is_accepted(data, error, message):
    with pytest.raises(error, match=message):
        one(data)


@pytest.mark.parametrize("data", [[], "prune", None, {"scheme": "prune"}])
def test_schemes_are_a_list(data):
    with pytest.raises(ConfigError, match="accepted is a list of at least one scheme"):
        parse_options(data, "f")


def test_two_options_cannot_have_one_name():
    with pytest.raises(ConfigError, match="two schemes have the name 'prune2'"):
        parse_options([PRUNE, PRUNE, CODEBOOK | {"name": "prune2"}], "f")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.errors import ConfigError
from autocompress.explore.constraints.conditions import Comparison, Literal, Name, Sum
from autocompress.explore.constraints.text import parse_condition


def truth(text, **values):
    """Evaluate with values by name, ``__`` for a dot; names not given are not there."""
    known = {name.replace("__", "."): value for name, value in values.items()}
    return parse_condition(text, "c").truth(lambda name: [known[name]] if name in known else [])


def test_words_with_a_dot_are_names_and_others_are_texts_and_numbers():
    assert parse_condition("features.0.k<=2 * all-conv.prune,codebook.k", "c") == Comparison(
        "<=", Name("features.0.k"), Sum("*", Literal(2.0), Name("all-conv.prune,codebook.k"))
    )
    assert parse_condition("a.s != 'x.y'", "c") == Comparison("!=", Name("a.s"), Literal("x.y"))
    assert parse_condition("a.zero == true", "c") == Comparison("==", Name("a.zero"), Literal(True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.k <= b.k", True),
        ("a.k > b.k", False),
        ("a.k + 1 <= b.k - 1", True),
        ("2 * a.k == b.k", True),
        ("1 + 2 * a.k == 5", True),
        ("1 <= a.k < b.k", True),
        ("1 <= a.k < 2", False),
        ("a.s == low_rank", True),
        ("a.s != low-rank", False),
        ("a.s == prune or a.k == 2", True),
        ("a.s == prune and a.k == 2 or a.k == 3", False),
        ("a.k == 2 and (a.s == prune or b.k == 4)", True),
        ("not a.k == 2", False),
        ("not (a.k == 3 or b.k == 3)", True),
        ("if a.s == low_rank then b.k >= 4", True),
        ("if a.s == low_rank then b.k >= 5", False),
        ("if a.s == prune then b.k >= 5", True),
    ],
)
def test_conditions_are_true_or_false(text, expected):
    assert truth(text, a__k=2, b__k=4, a__s="low-rank") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c.k <= 3", None),
        ("not c.k <= 3", None),
        ("c.k + 1 != 3", None),
        ("a.k == 2 or c.k == 3", True),
        ("a.k == 3 or c.k == 3", None),
        ("a.k == 3 and c.k == 3", False),
        ("if c.k == 3 then a.k == 3", None),
        ("if a.k == 2 then c.k == 3", None),
    ],
)
def test_what_is_not_there_decides_nothing(text, expected):
    assert truth(text, a__k=2) is expected


def test_texts_and_numbers_are_not_ordered_and_never_equal():
    assert truth("a.f <= 2", a__f="auto") is None
    assert truth("a.f == 2", a__f="auto") is False
    assert truth("a.f == 1", a__f=True) is False
    assert truth("a.f == none", a__f=None) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (3, r"c = 3: accepted is a text such as"),
        (" ", "c = ' '"),
        ("a.k", r"c 'a\.k': a comparison is missing"),
        ("a.k = 3", r"c 'a\.k = 3': cannot read '=': equality is written '=='"),
        ("a.k <=", "a name or value is missing before 'the end'"),
        ("<= a.k", "a name or value is missing before '<='"),
        ("if a.k == 1", "'then' is missing before the end"),
        ("(a.k == 1", r"'\)' is missing before the end"),
        ("a.k == 1 b.k == 2", r"'b\.k' was not expected"),
        ("a.k == 1 then b.k == 2", "'then' was not expected"),
        ("a.k == '1", "cannot read"),
        ("__import__('os').system('true')", "a comparison is missing"),
    ],
)
def test_errors_name_place_text_and_what_is_wrong(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_condition(text, "c")


SIGNS = ["if", "then", "and", "or", "not", "(", ")", "<=", "==", "!=", "=", "+", "*", "-", "!"]
VALUES = ["a.k", "'x y'", "3", "-2e3", "low_rank"]
TEXTS = st.lists(st.sampled_from(SIGNS + VALUES), max_size=12).map(" ".join) | st.text(max_size=20)


@given(TEXTS)
def test_any_text_is_a_condition_or_a_clear_error(text):
    try:
        condition = parse_condition(text, "c")
    except ConfigError:
        return
    assert condition.truth(lambda name: []) in (True, False, None)
    assert list(condition.comparisons())


def test_constraints_without_end_are_refused():
    with pytest.raises(ConfigError, match="c: 6007 characters are too many: at most 1000"):
        parse_condition("(" * 3000 + "a.k > 1" + ")" * 3000, "c")
    with pytest.raises(ConfigError, match=r"more than 50 '\(' in each other"):
        parse_condition("(" * 51 + "a.k > 1" + ")" * 51, "c")
    parse_condition("(" * 50 + "a.k > 1" + ")" * 50, "c")
    assert parse_condition("not " * 240 + "a.k > 1", "c").truth(lambda name: [2]) is True

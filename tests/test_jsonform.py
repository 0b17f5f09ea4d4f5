import pytest

from autocompress.errors import ConfigError, UnknownName
from autocompress.jsonform import digest_of, override, require_keys


def test_digests_do_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert len(digest_of(None)) == 16


def test_keys_that_are_missing_or_unknown_are_named():
    require_keys({"a": 1, "b": 2}, {"a"}, "here", ("b",))
    with pytest.raises(ConfigError, match=r"here: the key 'b' is missing"):
        require_keys({"a": 1}, {"a", "b"}, "here")
    with pytest.raises(UnknownName, match="'aa'"):
        require_keys({"aa": 1}, {"a"}, "here")
    with pytest.raises(ConfigError, match=r"here: expected a mapping"):
        require_keys([], {"a"}, "here")


def test_override_makes_mappings_but_does_not_break_values():
    assert override({}, {"a.b.c": 1}) == {"a": {"b": {"c": 1}}}
    assert override({"a": {"x": 1}}, {"a.y": 2}) == {"a": {"x": 1, "y": 2}}
    values = {"a": {"x": 1}}
    override(values, {"a.x": 3})
    assert values == {"a": {"x": 1}}
    with pytest.raises(ConfigError, match=r"a.b: 'a' is 5"):
        override({"a": 5}, {"a.b": 1})

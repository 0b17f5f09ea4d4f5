import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autocompress import yamlio
from autocompress.errors import ConfigError

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        ["1e-4", "on", "no", "1:30", "2020-01-01", "0x1f", "1_0", "~", "<<", "=", ".5"]
    ),
)
DATA = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.E+2", 100.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("0x1F", 31),
        ("0o17", 15),
        ("010", 10),
        ("'1e-4'", "1e-4"),
        ("20KB", "20KB"),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    result = yamlio.loads(f"key: {text}")["key"]
    assert result == value
    assert type(result) is type(value)


@given(DATA)
@example({"\x85": "a\u2028b"})
@example("\u2029")
def test_what_is_dumped_is_loaded_again(data):
    assert yamlio.loads(yamlio.dumps({"data": data})) == {"data": data}


def test_shared_parts_are_written_out():
    part = [1, 2]
    assert "&" not in yamlio.dumps({"a": part, "b": part})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"f\.yaml:3: key 'a' is there twice, first in line 1"),
        ("x:\n  b: 1\n  b: 1\n", r"f\.yaml:3: key 'b' is there twice"),
        ("a: [1,\n", r"f\.yaml:2: "),
        ("a: b: c\n", r"f\.yaml:1: mapping values are not allowed"),
        ("a: !!python/object/apply:os.system [ls]\n", r"f\.yaml:1: could not determine"),
        ("a: 1\n---\nb: 2\n", r"f\.yaml:2: "),
        ("a: *b\n", "undefined alias"),
        ("a: &a [*a]\n", "recursive"),
        ("a: \x01\n", r"f\.yaml: .*special characters"),
    ],
)
def test_errors_name_file_and_line(text, message):
    with pytest.raises(ConfigError, match=message):
        yamlio.loads(text, where="f.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n", "expected keys with values"),
        (b"", "expected keys with values"),
        (b"1: a\n", "the key 1 is not a name"),
        (b"a: \xff\n", "UTF-8"),
    ],
)
def test_files_that_hold_no_mapping_are_refused(tmp_path, content, message):
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"f.yaml.*{message}"):
        yamlio.load(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        yamlio.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        yamlio.load(tmp_path)

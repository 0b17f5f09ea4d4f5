import pytest

from autocompress.errors import AutocompressWarning
from autocompress.sensitivity.cache import sensitivity
from tests.explore.toys import space

TEXT = "layers: [{match: fc1, schemes: [{scheme: prune, density: {low: 0.1, high: 0.5}}]}]"


def test_it_is_measured_once(digits, digits_cnn, tmp_path):
    calls = []
    toy = space(TEXT)
    values = {"samples": 50, "levels": 2, "cache": tmp_path}
    values["progress"] = lambda *x: calls.append(x)
    first = sensitivity(digits_cnn, digits, toy, **values)
    again = sensitivity(digits_cnn, digits, toy, **values)
    assert first == again
    assert len(calls) == 2
    other = space(TEXT + "\nrecipe: {mu: {steps: 3}}")
    assert sensitivity(digits_cnn, digits, other, **values) == first  # the recipe does not matter
    assert len(calls) == 2
    sensitivity(digits_cnn, digits, space(TEXT.replace("0.1", "0.2")), **values)
    sensitivity(digits_cnn, digits, toy, **values | {"samples": 60})
    assert len(calls) == 6
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_a_damaged_file_is_measured_again(digits, digits_cnn, tmp_path):
    values = {"samples": 50, "levels": 2, "cache": tmp_path}
    first = sensitivity(digits_cnn, digits, space(TEXT), **values)
    (path,) = tmp_path.glob("*.json")
    for text in ("{", "[]", '{"format": 99}', '{"format": 1}'):
        path.write_text(text)
        with pytest.warns(AutocompressWarning, match="cannot be used"):
            assert sensitivity(digits_cnn, digits, space(TEXT), **values) == first


def test_nothing_is_kept_if_so_wished(digits, digits_cnn, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path))
    sensitivity(digits_cnn, digits, space(TEXT), samples=50, levels=2, cache=False)
    assert list(tmp_path.iterdir()) == []

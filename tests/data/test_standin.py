import pytest

from autocompress import models
from autocompress.data import DataSpec, load, stand_in
from autocompress.data.sources import SOURCES
from autocompress.errors import DataError, UnknownName


def test_a_stand_in_has_the_shape_of_the_real_one():
    made_up, real = stand_in(DataSpec(name="digits")), load("digits")
    assert (made_up.input_shape, made_up.classes) == (real.input_shape, real.classes)
    assert made_up.digest == stand_in(DataSpec(name="digits", seed=3)).digest


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "image-folder"])
def test_no_files_are_needed(name, tmp_path):
    found = stand_in(DataSpec(name=name, root=str(tmp_path)))
    inputs, classes = SOURCES[name].summary.split(", ")[1:3]
    assert "x".join(map(str, found.input_shape)) == inputs
    assert classes.startswith(f"{found.classes} classes")
    assert not list(tmp_path.iterdir())


def test_models_are_built_for_it():
    assert models.build("lenet5", stand_in(DataSpec(name="mnist")))


def test_what_only_the_files_tell_is_read(tmp_path):
    with pytest.raises(DataError, match="image-folder"):
        stand_in(DataSpec(name="image-folder", root=str(tmp_path)))
    with pytest.raises(UnknownName, match="did you mean 'mnist'"):
        stand_in(DataSpec(name="mnits"))

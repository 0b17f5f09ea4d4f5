"""One root, builtin parents, and the nearest name."""

from __future__ import annotations

import inspect

import pytest

from autocompress import errors


def test_every_error_is_ours_and_also_a_builtin() -> None:
    classes = [
        c
        for _, c in inspect.getmembers(errors, inspect.isclass)
        if issubclass(c, errors.AutocompressError) and c is not errors.AutocompressError
    ]
    assert len(classes) >= 10
    for cls in classes:
        builtins = [b for b in cls.__mro__ if b.__module__ == "builtins"]
        assert set(builtins) - {Exception, BaseException, object}, cls
        assert cls.__name__ in (errors.__doc__ or "")


def test_unknown_names_the_nearest_and_all_known() -> None:
    error = errors.unknown("model", "lenet30", ["lenet300", "resnet20"], where="sweep.yaml: model")
    assert str(error) == (
        "sweep.yaml: model: unknown model 'lenet30': did you mean 'lenet300'? "
        "known are lenet300, resnet20"
    )
    assert "did you mean" not in str(errors.unknown("model", "zzz", ["lenet300"]))


def test_a_missing_extra_says_how_to_install_it() -> None:
    with pytest.raises(ImportError, match=r"pip install 'autocompress\[ray\]'"):
        raise errors.MissingExtra("ray", "ray")

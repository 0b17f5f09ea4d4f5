"""The contract of a compression scheme, as tests."""

from __future__ import annotations

import copy
import json
from dataclasses import FrozenInstanceError, fields

import pytest

from autocompress.compression.registry import from_dict, name_of, to_dict
from autocompress.errors import SchemeError
from autocompress.outside import find
from autocompress.testing.cases import default_weights, error, register
from autocompress.testing.projection import ProjectionContract
from autocompress.testing.storage import StorageContract

__all__ = ["CompressionContract", "default_weights", "error"]


class CompressionContract(ProjectionContract, StorageContract):
    """What every scheme must do; subclass as ``Test...`` and give :meth:`make`.

    Attributes:
        codes: Code classes of your own that the schemes produce and do not name themselves, in
            their ``codes``.
        optimal: Whether ``project`` returns the nearest weights that the scheme can express. Set
            False for penalties, heuristics and local optima.
    """

    def test_schemes_are_values(self) -> None:
        for scheme in self.make():
            assert scheme == copy.deepcopy(scheme)
            assert hash(scheme) == hash(copy.deepcopy(scheme))
            assert scheme.name in scheme.describe()
            for field in fields(scheme):  # type: ignore[arg-type]  # concrete ones are dataclasses
                with pytest.raises(FrozenInstanceError):
                    setattr(scheme, field.name, None)

    def test_schemes_survive_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for scheme in self.make():
            register(monkeypatch, scheme)
            written = to_dict(scheme)
            assert written["scheme"] == name_of(type(scheme))
            assert from_dict(json.loads(json.dumps(written))) == scheme

    def test_names_of_extensions_lead_to_them(self) -> None:
        """``module:Class`` in a plan finds the class; a class inside a function has no name."""
        for scheme in self.make():
            name = name_of(type(scheme))
            if ":" in name and "<locals>" not in name:
                found = find(name, "scheme", SchemeError)
                assert found is type(scheme) or type(found) is type(scheme) or callable(found), name

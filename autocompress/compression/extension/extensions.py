"""Schemes of other packages: who may name them, and where they are found.

A name ``module:Class`` can only be turned into a class by importing the module, which runs code.
So names are resolved where a user's own configuration is read (:func:`allow_in`: a plan, a search
space, a sweep) or a class is handed over (:func:`register`, ``schemes=``), and from then on in this
process and in the workers it starts. Files that came from elsewhere (packed models, checkpoints,
study databases) are never a reason to import anything: a scheme they name is one that is known
already, or stays an :class:`Unknown`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, final

from autocompress import outside
from autocompress.compression.base import Code, Compression, Tensors
from autocompress.compression.extension.function import FunctionScheme, scheme_class
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError

EXTENSIONS: dict[str, type[Compression]] = {}
"""Schemes by name that this process's user has named or handed over."""

SchemeLike: TypeAlias = type[Compression] | Compression | Callable[..., Any]
"""A scheme's class, a scheme made of a function, or the function."""

_READING: ContextVar[Mapping[str, type[Compression]] | None] = ContextVar("reading", default=None)


@final
@dataclass(frozen=True)
class Unknown(Compression):
    """A scheme of a package that may not be imported here: it can be shown and stored, not run.

    Codes need no scheme to be decoded.

    Attributes:
        reference: Its name, ``module:Class``.
        fields: Its fields, as JSON text.
    """

    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal", "covariance"})
    reference: str
    fields: str

    @property
    def name(self) -> str:  # type: ignore[override]  # a class constant of other schemes
        """The name."""
        return self.reference

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> Code:
        raise SchemeError(
            f"the scheme {self.reference!r} is not known here: pass its class as schemes=, or name "
            f"it in a plan or search space of your own"
        )

    def describe(self) -> str:
        values = ", ".join(f"{key}={value}" for key, value in self.to_dict().items())
        return f"{self.reference}({values.removeprefix(f'scheme={self.reference}').lstrip(', ')})"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form it was read from."""
        return {"scheme": self.reference, **json.loads(self.fields)}


def reference(cls: type[Compression]) -> str:
    """Return the name of an extension's scheme: ``module:Class`` or ``module:function``."""
    if issubclass(cls, FunctionScheme):
        return cls.name
    return f"{cls.__module__}:{cls.__qualname__}"


def register(extension: SchemeLike, name: str | None = None) -> type[Compression]:
    """Make a scheme known in this process; return its class.

    Args:
        extension: The scheme.
        name: Another name for it, besides its own.

    Raises:
        SchemeError: it is no scheme.
    """
    cls = _class(extension)
    EXTENSIONS[reference(cls)] = cls
    if name is not None:
        EXTENSIONS[name] = cls
    return cls


def allow(name: str, *, where: str = "") -> type[Compression]:
    """Import a scheme that the user's own configuration names, and make it known.

    Raises:
        SchemeError: it cannot be imported, or is no scheme.
    """
    if name in EXTENSIONS:
        return EXTENSIONS[name]
    prefix = f"{where}: " if where else ""
    kind = f"{prefix}scheme"
    found = outside.find(name, kind, SchemeError, "module:Class or module:function")
    try:
        return register(found, name)  # type: ignore[arg-type]  # register looks at what it is
    except SchemeError as error:
        raise SchemeError(f"{kind} {name!r}: {error}") from None


def allow_in(data: Any, *, where: str = "") -> None:
    """Import all the schemes of other packages that a user's plan or search space names.

    Args:
        data: YAML data, at any depth; anything else is passed over.
        where: The file, for error messages.

    Raises:
        SchemeError: see :func:`allow`.
    """
    for name in names_in(data):
        allow(name, where=where)


def names_in(data: Any) -> list[str]:
    """Return the names of other packages' schemes in YAML or JSON data, at any depth."""
    if isinstance(data, Mapping):
        name = data.get("scheme")
        own = [name] if isinstance(name, str) and ":" in name else []
        return own + [found for value in data.values() for found in names_in(value)]
    if isinstance(data, (list, tuple)):
        return [found for value in data for found in names_in(value)]
    return []


@contextlib.contextmanager
def reading(schemes: Iterable[SchemeLike] = ()) -> Iterator[None]:
    """While files from elsewhere are read: what is not known stays :class:`Unknown`.

    Args:
        schemes: Schemes that are known besides the registered ones.
    """
    classes = [_class(scheme) for scheme in schemes]
    token = _READING.set({reference(cls): cls for cls in classes})
    try:
        yield
    finally:
        _READING.reset(token)


def find(name: str) -> type[Compression] | None:
    """Return a scheme by name if it is known; imports nothing."""
    given = _READING.get() or {}
    return given.get(name) or EXTENSIONS.get(name)


def keeps_unknown() -> bool:
    """Whether a scheme that is not known may stay :class:`Unknown`."""
    return _READING.get() is not None


def codes() -> dict[str, type[Code]]:
    """Return the code classes of all the schemes that are known, by kind."""
    known = [*EXTENSIONS.values(), *(_READING.get() or {}).values()]
    return {code.kind: code for cls in known for code in cls.codes}


def _class(extension: SchemeLike) -> type[Compression]:
    if isinstance(extension, type) and issubclass(extension, Compression):
        return extension
    if isinstance(extension, FunctionScheme):
        return type(extension)
    if isinstance(extension, (type, Compression)) or not callable(extension):
        raise SchemeError(
            f"{type(extension).__name__} is not a scheme: expected a subclass of Compression or a "
            f"function of a tensor"
        )
    return scheme_class(extension)

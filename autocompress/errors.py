"""Every exception autocompress raises on purpose.

::

    AutocompressError
    ├── ConfigError        (ValueError)    a setting, key or value that cannot be used
    │   └── UnknownName    (LookupError)   no such model, scheme, metric, key …; names the nearest
    ├── SchemeError        (ValueError)    a compression that cannot be, or cannot apply to a layer
    │   └── PlanError      (ValueError)    tasks that do not fit the model or each other
    ├── DataError          (RuntimeError)  a data set that is missing or unusable
    ├── ModelError         (RuntimeError)  a model that cannot be built, loaded or traced
    ├── PackedFileError    (ValueError)    a packed file that is missing, damaged or not ours
    ├── RunError           (RuntimeError)  a run folder or study that cannot be used
    ├── ExecutorError      (RuntimeError)  trials cannot be run at all (one failing is a status)
    └── MissingExtra       (ImportError)   an optional dependency is absent; says how to install it

Expected failures inside a trial (divergence, out of memory, timeout) are statuses, not exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutocompressError(Exception):
    """Root of all errors raised by autocompress."""


class AutocompressWarning(UserWarning):
    """Something was done differently from what was asked, and still makes sense."""


class ConfigError(AutocompressError, ValueError):
    """A setting, key or value that cannot be used."""


class UnknownName(ConfigError, LookupError):
    """A name that nothing is registered under."""


class SchemeError(AutocompressError, ValueError):
    """A compression scheme that cannot exist, or cannot apply to the given weights."""


class PlanError(SchemeError):
    """Tasks that do not fit the model, or each other."""


class DataError(AutocompressError, RuntimeError):
    """A data set that is missing or unusable."""


class ModelError(AutocompressError, RuntimeError):
    """A model that cannot be built, loaded or traced."""


class PackedFileError(AutocompressError, ValueError):
    """A packed file that is missing, damaged, or not one of ours."""


class RunError(AutocompressError, RuntimeError):
    """A run folder or study that cannot be used."""


class ExecutorError(AutocompressError, RuntimeError):
    """Trials cannot be run at all; a single failing trial is a recorded status instead."""


class MissingExtra(AutocompressError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed: "
            f"python -m pip install 'autocompress[{extra}]'"
        )


def unknown(kind: str, name: object, known: Iterable[str], *, where: str = "") -> UnknownName:
    """Build the error for a name nothing is known under.

    Args:
        kind: What was looked for, in the singular ("scheme", "model").
        name: The name given.
        known: The names that would have been accepted.
        where: File and key the name came from, put in front of the message.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    prefix = f"{where}: " if where else ""
    return UnknownName(f"{prefix}unknown {kind} {name!r}: {hint}known are {', '.join(names)}")

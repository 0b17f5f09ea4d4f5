"""Objects of the user's own modules, named ``module:name``.

Importing a module runs its code. Names come from a user's own configuration only (a plan, a search
space, a sweep, the command line), never from packed files, checkpoints or study databases.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from autocompress.errors import AutocompressError


def is_path(text: str) -> bool:
    """Whether a text has the form ``module:name``."""
    module_name, _, attribute = text.partition(":")
    return bool(module_name.strip() and attribute.strip())


def find(path: str, kind: str, error: type[AutocompressError], form: str = "module:name") -> object:
    """Import a module, from Python's path or the current folder, and return something in it.

    Args:
        path: ``module:name``; the name may have dots.
        kind: What is looked for, for error messages ("model", "scheme").
        error: What to raise.
        form: How a path looks, for error messages.

    Raises:
        AutocompressError: of type ``error``: it cannot be imported, or holds no such name.
    """
    if not is_path(path):
        raise error(f"{kind} {path!r}: expected {form}")
    module_name, _, attribute = path.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)  # a console script, unlike `python -m`, does not look here
    try:
        found: object = importlib.import_module(module_name)
    except Exception as cause:  # the module's own code runs
        raise error(
            f"{kind} {path!r}: cannot import {module_name!r} (from Python's path or {here}): "
            f"{type(cause).__name__}: {cause}"
        ) from cause
    finally:
        sys.path.remove(here)
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise error(f"{kind} {path!r}: module {module_name!r} has no {attribute!r}{hint}")
        found = getattr(found, part)
    return found

"""The ready-made YAML files that come with autocompress, found by name; other files by path."""

from __future__ import annotations

from pathlib import Path

from autocompress import yamlio
from autocompress.errors import ConfigError, unknown

SPACES = "search_spaces"
OBJECTIVES = "objectives"
_KINDS = {SPACES: "search space", OBJECTIVES: "objectives"}
_SUFFIXES = (".yaml", ".yml")


def folder(kind: str) -> Path:
    """Return the folder of the ready-made files.

    A wheel carries them inside the package; a checkout, installed editably or not, has them beside
    it.

    Args:
        kind: ``"search_spaces"`` or ``"objectives"``.

    Raises:
        ConfigError: the installation lacks them.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "_files" / kind, package.parent / kind):
        if place.is_dir():
            return place
    raise ConfigError(f"this installation of autocompress lacks its folder {kind!r}: reinstall it")


def names(kind: str) -> tuple[str, ...]:
    """Return the names of the ready-made files, sorted."""
    return tuple(sorted(path.stem for path in folder(kind).glob("*.yaml")))


def docs(kind: str) -> dict[str, str]:
    """Return the one-line description of each ready-made file, by name."""
    return {name: str(yamlio.load(find(kind, name)).get("doc", "")) for name in names(kind)}


def find(kind: str, name: str | Path) -> Path:
    """Return the file for a name or path.

    A text that ends in ``.yaml`` or ``.yml`` or holds a path separator is a path; anything else is
    the name of a ready-made file.

    Raises:
        UnknownName: no ready-made file has this name.
        ConfigError: there is no file at this path.
    """
    path = Path(name)
    if isinstance(name, Path) or path.suffix in _SUFFIXES or len(path.parts) != 1:
        if not path.is_file():
            raise ConfigError(f"{_KINDS[kind]}: there is no file {str(path)!r}")
        return path
    if name not in names(kind):
        raise unknown(_KINDS[kind], name, [*names(kind), "the path of a .yaml file"])
    return folder(kind) / f"{name}.yaml"

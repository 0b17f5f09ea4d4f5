"""YAML files, read safely and by the rules of YAML 1.2.

PyYAML follows YAML 1.1, in which ``1e-4`` is a string, ``on`` and ``no`` are booleans and ``1:30``
is 90. Here only what YAML 1.2's core schema calls a number, a boolean or null is one. Nothing but
mappings, lists, strings, numbers, booleans and null can be built, and a key written twice is an
error.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from autocompress.errors import ConfigError

_SCALARS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars and without repeated keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, quoting what either version of YAML would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts out each time: files without ``&id001`` are easier to edit."""
        del data
        return True


for _tag, _pattern, _first in _SCALARS:
    for _cls in (_Loader, _Dumper):
        _cls.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: dict[Hashable, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if isinstance(key, Hashable) and key in seen:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"key {key!r} is there twice, first in line {seen[key]}",
                key_node.start_mark,
            )
        if isinstance(key, Hashable):
            seen[key] = line
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _represent_str(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # line breaks to YAML 1.1, which only double quotes keep as they are
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def loads(text: str, *, where: str = "YAML") -> Any:
    """Parse YAML text.

    Args:
        text: One YAML document.
        where: What error messages call it.

    Raises:
        ConfigError: text that is not YAML, naming the line; a key written twice; a tag (``!…``).
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None


def load(path: Path | str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: a file that cannot be read, is not UTF-8 YAML, or holds no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file in UTF-8") from None
    data = loads(text, where=str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys with values, not {data!r}")
    for key in data:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: the key {key!r} is not a name: write it in quotes")
    return data


def dumps(data: Mapping[str, Any]) -> str:
    """Return the YAML text of JSON-like data; :func:`loads` gives back equal data."""
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=96,
    )

"""Code trees as JSON and tensors, and back: what packed files and checkpoints share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from torch import Tensor

from autocompress.compression.base import Code, numel
from autocompress.compression.extension import extensions
from autocompress.compression.registry import CODES

Node: TypeAlias = dict[str, Any]
"""A code in JSON: ``kind``, and where not empty ``meta``, ``tensors`` and ``children``."""

CONTRADICTIONS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What restoring or decoding runs into where meta, buffers and children contradict each other."""
MAX_DEPTH = 32
"""Deepest nesting of codes that is read."""
MAX_ELEMENTS = 2**30
"""Most numbers that codes may announce unless told otherwise; 4 GiB of float32."""


def encode(code: Code, prefix: str) -> tuple[Node, dict[str, Tensor]]:
    """Take a code tree apart.

    Args:
        code: The code; not copied, its tensors are returned as they are.
        prefix: What the tensors' names begin with, to tell several codes' tensors apart.

    Returns:
        The JSON form, and the tensors by name (``prefix``, the path in the tree, the buffer's
        name, joined by dots).
    """
    tensors: dict[str, Tensor] = {}

    def store(path: str, tensor: Tensor) -> str:
        tensors[f"{prefix}.{path}"] = tensor
        return f"{prefix}.{path}"

    return take_apart(code, store), tensors


def decode(
    node: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    codes: Iterable[type[Code]] = (),
    *,
    max_elements: int = MAX_ELEMENTS,
) -> Code:
    """Put a code together again; it decodes to exactly the same weights.

    Args:
        node: The JSON form.
        tensors: At least the tensors that :func:`encode` returned; the code lands on their device.
        codes: Code classes of your own, besides the built-in ones.
        max_elements: See :func:`put_together`.

    Raises:
        ValueError: the parts do not belong together.
    """
    return put_together(node, lambda name: tensors[name], known(codes), max_elements)


def known(codes: Iterable[type[Code]] = ()) -> dict[str, type[Code]]:
    """Return the code classes by kind: built-in ones, those of known schemes, and ``codes``."""
    return extensions.codes() | CODES | {code.kind: code for code in codes}


def take_apart(code: Code, store: Callable[[str, Tensor], Any], path: str = "") -> Node:
    """Return the JSON form of a code tree, its buffers in order of appearance given to ``store``.

    Args:
        code: The code.
        store: Takes a buffer and its path in the tree; returns the JSON value that stands for it.
        path: Path of ``code`` itself, ending in a dot unless empty.
    """
    node: Node = {"kind": code.kind}
    meta = code.meta()
    tensors = {name: store(path + name, t) for name, t in code.tensors().items()}
    children = {
        name: take_apart(child, store, f"{path}{name}.") for name, child in code.children().items()
    }
    parts = {"meta": meta, "tensors": tensors, "children": children}
    return node | {key: part for key, part in parts.items() if part}


def put_together(
    node: Mapping[str, Any],
    fetch: Callable[[Any], Tensor],
    kinds: Mapping[str, type[Code]],
    max_elements: int = MAX_ELEMENTS,
) -> Code:
    """Inverse of :func:`take_apart`; trusts nothing about ``node``.

    Args:
        node: The JSON form.
        fetch: Returns the buffer for what ``store`` returned, called in the same order.
        kinds: Code classes by kind; no other class is ever called.
        max_elements: Largest number of elements that the tree's ``shapes`` may announce, all nodes
            together. Checked before anything is allocated: a few bytes can announce terabytes.

    Raises:
        ValueError: unknown kind, parts that do not belong together, or too many elements.
    """
    check_size([node], max_elements)
    try:
        return _restore(node, fetch, kinds)
    except ValueError:
        raise
    except CONTRADICTIONS as error:
        raise ValueError(f"code parts do not belong together: {error!r}") from error


def check_size(nodes: Iterable[object], max_elements: int, others: int = 0) -> int:
    """Return how many elements trees announce, ``others`` added.

    Raises:
        ValueError: a tree is malformed, or they are more than ``max_elements``.
    """
    announced = sum(_announced(node, 0) for node in nodes) + others
    if announced > max_elements:
        raise ValueError(
            f"it announces {announced} numbers, more than the {max_elements} accepted "
            f"(max_elements=)"
        )
    return announced


def _announced(node: object, depth: int) -> int:
    """Add up the sizes that a tree's ``shapes`` announce, refusing what is not a tree of codes."""
    if depth > MAX_DEPTH:
        raise ValueError(f"codes nested more than {MAX_DEPTH} deep")
    if not isinstance(node, Mapping) or not isinstance(node.get("kind"), str):
        raise ValueError(f"a code is a mapping with a kind, not {str(node)[:40]}")
    parts = [node.get(key, {}) for key in ("meta", "tensors", "children")]
    if not all(isinstance(part, Mapping) for part in parts):
        raise ValueError(f"meta, tensors and children of code {node['kind']!r} must be mappings")
    meta, _, children = parts
    shapes = meta.get("shapes", [])
    if not isinstance(shapes, list):
        raise ValueError(f"shapes of code {node['kind']!r} must be a list")
    total = sum(numel(checked_shape(shape)) for shape in shapes)
    return total + sum(_announced(child, depth + 1) for child in children.values())


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return a tensor's shape read from JSON, or raise ValueError if it cannot be one."""
    if not isinstance(shape, list) or len(shape) > 16:
        raise ValueError(f"{str(shape)[:40]} is not the shape of a tensor")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**48:
            raise ValueError(f"{str(size)[:40]} is not the size of a tensor's dimension")
    return tuple(shape)


def _restore(
    node: Mapping[str, Any], fetch: Callable[[Any], Tensor], kinds: Mapping[str, type[Code]]
) -> Code:
    tensors = {name: fetch(value) for name, value in node.get("tensors", {}).items()}
    children = {
        name: _restore(child, fetch, kinds) for name, child in node.get("children", {}).items()
    }
    return find_kind(node, kinds).restore(node.get("meta", {}), tensors, children)


def find_kind(node: Mapping[str, Any], kinds: Mapping[str, type[Code]]) -> type[Code]:
    """Return the class of a node's code, or raise ValueError if it is not a known one."""
    kind = node["kind"]
    if kind not in kinds:
        raise ValueError(
            f"unknown kind of code {kind[:40]!r}: known are {', '.join(sorted(kinds))} "
            f"(codes of an extension are passed as codes=)"
        )
    return kinds[kind]

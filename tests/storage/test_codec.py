from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Tensor

from autocompress import compression as c
from autocompress.compression.base import Code, Tensors
from autocompress.storage import codec
from tests.storage.conftest import packed_model

CODES = packed_model().codes


def same(a: Tensors, b: Tensors) -> bool:
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("name", CODES)
def test_decoded_code_is_the_same_bit_for_bit(name: str) -> None:
    node, tensors = codec.encode(CODES[name], "task0")
    again = codec.decode(json.loads(json.dumps(node)), tensors)
    assert same(again.decode(), CODES[name].decode())
    assert again.bits() == CODES[name].bits()
    second, _ = codec.encode(again, "task0")
    assert second == node


def test_prefixes_keep_several_codes_apart() -> None:
    parts = [codec.encode(code, f"codes.{name}") for name, code in CODES.items()]
    tensors = {key: tensor for _, each in parts for key, tensor in each.items()}
    assert len(tensors) == sum(len(each) for _, each in parts)
    for (node, _), code in zip(parts, CODES.values(), strict=True):
        assert same(codec.decode(node, tensors).decode(), code.decode())


def test_names_say_where_a_buffer_is_in_the_tree() -> None:
    _, tensors = codec.encode(CODES["sparse"], "x")
    assert {"x.inner.indices", "x.inner.inner.flat"} <= set(tensors)


@dataclass(frozen=True, eq=False)
class SignCode(Code):
    kind: ClassVar[str] = "test-sign"
    scale: float
    signs: Tensor

    def decode(self) -> Tensors:
        return (self.signs.float() * self.scale,)

    def own_bits(self) -> int:
        return self.signs.numel() * 8

    def tensors(self) -> dict[str, Tensor]:
        return {"signs": self.signs}

    def meta(self) -> dict[str, Any]:
        return {"scale": self.scale}

    @classmethod
    def restore(
        cls, meta: Mapping[str, Any], tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        return cls(float(meta["scale"]), tensors["signs"])


def test_extension_codes_are_found_only_when_passed() -> None:
    code = SignCode(0.3, torch.tensor([1, -1, 1], dtype=torch.int8))
    node, tensors = codec.encode(code, "x")
    assert same(codec.decode(node, tensors, [SignCode]).decode(), code.decode())
    with pytest.raises(ValueError, match=r"unknown kind of code 'test-sign'.*codes="):
        codec.decode(node, tensors)


def sparse_node() -> tuple[codec.Node, dict[str, Tensor]]:
    code = c.Prune(0.1).project((torch.arange(1.0, 101.0).reshape(10, 10),), mu=0.0)
    node, tensors = codec.encode(code, "x")
    return copy.deepcopy(node), tensors


@pytest.mark.parametrize(
    "edit",
    [
        {"shapes": [[10, -10]]},
        {"shapes": [[10, 10.0]]},
        {"shapes": [[True, 100]]},
        {"shapes": [["10", 10]]},
        {"shapes": ["10"]},
        {"shapes": "1010"},
        {"shapes": 100},
        {"shapes": None},
        {"shapes": [[1] * 17]},
        {"shapes": [[2**60]]},
        {"shapes": [[5, 5]]},
        {"shapes": []},
        {"count": 11},
        {"count": -1},
        {"count": "10"},
        {"count": None},
        {"count": 10**12},
        {"rice": -1},
        {"rice": 10**9},
        {"rice": 60},
        {"rice": 2.0},
        {"rice": [1]},
    ],
)
def test_contradicting_meta_is_a_value_error(edit: dict[str, Any]) -> None:
    node, tensors = sparse_node()
    node["meta"] |= edit
    with pytest.raises(ValueError, match=r"."):
        codec.decode(node, tensors)


@pytest.mark.parametrize(
    "node",
    [
        None,
        [],
        "dense",
        {},
        {"kind": 3},
        {"kind": ["dense"]},
        {"kind": "dense", "meta": []},
        {"kind": "dense", "tensors": [1]},
        {"kind": "dense", "children": "x"},
        {"kind": "dense", "children": {"inner": None}},
        {"kind": "dense"},
        {"kind": "additive", "children": {"first": {"kind": "additive"}}},
        {"kind": "__import__('os')"},
    ],
)
def test_what_is_no_code_is_a_value_error(node: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.decode(node, {})


@pytest.mark.parametrize("missing", ["unary", "remainders"])
def test_missing_buffers_are_a_value_error(missing: str) -> None:
    node, tensors = sparse_node()
    del node["tensors"][missing]
    with pytest.raises(ValueError, match=missing):
        codec.decode(node, tensors)


def test_missing_child_is_a_value_error() -> None:
    node, tensors = sparse_node()
    del node["children"]
    with pytest.raises(ValueError, match="inner"):
        codec.decode(node, tensors)


def codebook_of_one(*shape: int) -> codec.Node:
    inner = {
        "kind": "dense",
        "meta": {"shapes": [[1]], "dtype": "float32"},
        "tensors": {"flat": "flat"},
    }
    return {
        "kind": "codebook",
        "meta": {"shapes": [list(shape)], "size": 1},
        "tensors": {"indices": "indices"},
        "children": {"inner": inner},
    }


def test_announced_terabytes_are_refused_before_anything_is_allocated() -> None:
    # a codebook of one entry needs no data at all, however many weights it announces
    tensors = {"flat": torch.ones(1), "indices": torch.zeros(0, dtype=torch.uint8)}
    fits = codec.decode(codebook_of_one(10, 10), tensors, max_elements=101)
    assert fits.decode()[0].shape == (10, 10)
    with pytest.raises(ValueError, match="announces 101 numbers, more than the 100 accepted"):
        codec.decode(codebook_of_one(10, 10), tensors, max_elements=100)
    with pytest.raises(ValueError, match="announces 1000000000001 numbers"):
        codec.decode(codebook_of_one(10**6, 10**6), tensors)


def test_the_limit_is_for_all_nodes_together() -> None:
    tensors = {"flat": torch.ones(1), "indices": torch.zeros(0, dtype=torch.uint8)}
    children = {str(i): codebook_of_one(100) for i in range(10)}
    node = {"kind": "additive", "children": children}
    assert codec.decode(node, tensors, max_elements=1010).decode()[0].shape == (100,)
    with pytest.raises(ValueError, match="announces 1010 numbers"):
        codec.decode(node, tensors, max_elements=1009)


def test_nesting_is_bounded() -> None:
    node: codec.Node = {"kind": "additive"}
    for _ in range(10_000):
        node = {"kind": "additive", "children": {"0": node}}
    with pytest.raises(ValueError, match="nested more than"):
        codec.decode(node, {})


def test_forged_gaps_that_overflow_are_refused() -> None:
    """A position that wraps around 64 bits would index from the end, or anywhere."""
    node, tensors = sparse_node()
    node["meta"] |= {"rice": 32, "count": 10}
    tensors["x.remainders"] = torch.full((40,), 255, dtype=torch.uint8)
    tensors["x.unary"] = torch.full((2,), 255, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"do not fit|beyond"):
        codec.decode(node, tensors)

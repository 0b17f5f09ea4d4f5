"""How large a code will be: told from shapes alone, before there are weights.

An :class:`Estimate` is the outline of a code: the same tree, with the length of each buffer in
place of its contents. Where the length depends on the weights it has bounds that no weights leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autocompress.compression import bitpack
from autocompress.compression.base import Shapes, numel, total_numel

FLOAT = "F32"
"""Dtype of weights: estimates are for models in float32."""
NARROW = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_BYTES = {"U8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F16": 2, "BF16": 2, "F32": 4}


@dataclass(frozen=True)
class Known:
    """A number and bounds on it.

    Attributes:
        value: The number, or what to expect where it is not known exactly.
        low: It is at least this.
        high: It is at most this.
    """

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Known:
        """Return a number without doubt."""
        return cls(value, value, value)

    @property
    def exact(self) -> bool:
        """Whether there is nothing between the bounds but the number."""
        return self.low == self.high

    @property
    def error(self) -> float:
        """Largest error, relative to the value: 0 where it is exact."""
        most = max(self.high - self.value, self.value - self.low)
        return most / abs(self.value) if most and self.value else math.inf if most else 0.0

    def __add__(self, other: Known) -> Known:
        return Known(self.value + other.value, self.low + other.low, self.high + other.high)

    def scaled(self, low: float, high: float) -> Known:
        """Return the number with its bounds multiplied by factors <= 1 and >= 1."""
        return self if low == high == 1 else Known(self.value, low * self.low, high * self.high)


ZERO = Known.exactly(0)


def added(numbers: Iterable[Known]) -> Known:
    """Return the sum."""
    value = low = high = 0.0
    for number in numbers:
        value, low, high = value + number.value, low + number.low, high + number.high
    return Known(value, low, high)


@dataclass(frozen=True)
class Buffer:
    """A buffer of a code.

    Attributes:
        name: As in the code's ``tensors()``.
        bits: How many are used.
        dtype: As in packed files: ``"U8"`` for packed integers.
    """

    name: str
    bits: Known
    dtype: str = "U8"

    @property
    def bytes(self) -> Known:
        """Bytes it takes in a file: whole ones."""
        low, high = math.ceil(self.bits.low / 8), math.ceil(self.bits.high / 8)
        # on average half a byte is lost where the length is not known
        value = low if low == high else min(max(self.bits.value / 8 + 0.5, low), high)
        return Known(value, low, high)


@dataclass(frozen=True, eq=False)
class Estimate:
    """The outline of a code.

    Attributes:
        kind: The code's kind.
        meta: Its ``meta()``, with expected numbers where they depend on the weights.
        buffers: Its own buffers.
        children: Outlines of the codes it refers to.
        nonzeros: Decoded weights that are not zero; None where the weights decide.
    """

    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[Buffer, ...] = ()
    children: Mapping[str, Estimate] = field(default_factory=dict)
    nonzeros: Known | None = None

    @property
    def bits(self) -> Known:
        """Bits of the code, children included: what ``Code.bits()`` will be."""
        own = (buffer.bits for buffer in self.buffers)
        return added([*own, *(child.bits for child in self.children.values())])

    @property
    def bytes(self) -> Known:
        """Bytes of its buffers in a packed file."""
        own = (buffer.bytes for buffer in self.buffers)
        return added([*own, *(child.bytes for child in self.children.values())])

    @property
    def exact(self) -> bool:
        """Whether all weights of these shapes give as many bits."""
        return self.bits.exact

    @property
    def reals(self) -> Estimate:
        """The leaf that holds the real numbers still free; the last one of a sum."""
        leaf = self
        while leaf.children:
            leaf = list(leaf.children.values())[-1]
        return leaf

    @property
    def reals_shapes(self) -> Shapes:
        """Shapes of those real numbers, as expected."""
        return tuple(tuple(shape) for shape in self.reals.meta["shapes"])

    def with_reals(self, inner: Estimate) -> Estimate:
        """Return the outline with the real numbers held by another code.

        Args:
            inner: For the expected shapes; where their number is in doubt so is all of it.
        """
        if self.kind == "dense":
            expected = 8 * _BYTES[self.buffers[0].dtype] * total_numel(self.reals_shapes)
            if self.exact or not expected:
                return inner
            return inner.scaled(self.bits.low / expected, self.bits.high / expected)
        child = self.children["inner"].with_reals(inner)
        count = child.nonzeros
        if self.kind not in _SELECTING:
            size = total_numel(self.children["inner"].reals_shapes)
            count = self.nonzeros if count is not None and count.low >= size else None
        return replace(self, children={"inner": child}, nonzeros=count)

    def scaled(self, low: float, high: float) -> Estimate:
        """Return the outline with all bounds this much wider."""
        buffers = (replace(b, bits=b.bits.scaled(low, high)) for b in self.buffers)
        children = {name: child.scaled(low, high) for name, child in self.children.items()}
        count = self.nonzeros and self.nonzeros.scaled(low, high)
        return replace(self, buffers=tuple(buffers), children=children, nonzeros=count)

    def node(self) -> dict[str, Any]:
        """Return the JSON form that the code will have in a packed file, as far as it is known."""
        node: dict[str, Any] = {"kind": self.kind}
        if self.meta:
            node["meta"] = self.meta
        if self.buffers:
            node["tensors"] = {
                b.name: [b.dtype, round(b.bytes.value) // _BYTES[b.dtype]] for b in self.buffers
            }
        if self.children:
            node["children"] = {name: child.node() for name, child in self.children.items()}
        return node


_SELECTING = frozenset({"sparse", "n-m", "structure", "block"})
"""Kinds whose nonzeros are those of the numbers they hold."""


def dense(shapes: Shapes, stored: str = FLOAT, *, count: Known | None = None) -> Estimate:
    """Return the outline of real numbers, one after the other.

    Args:
        shapes: Shapes they are cut into.
        stored: Dtype they are stored in.
        count: How many there are, where the shapes are only expected ones.
    """
    count = count or Known.exactly(total_numel(shapes))
    width = 8 * _BYTES[stored]
    bits = Known(width * count.value, width * count.low, width * count.high)
    # eight bits underflow at magnitudes that weights have
    nonzeros = None if _BYTES[stored] == 1 else count
    meta = {"shapes": shapes, "dtype": "float32"}
    return Estimate("dense", meta, (Buffer("flat", bits, stored),), nonzeros=nonzeros)


def held(
    kind: str, meta: Mapping[str, Any], buffers: Iterable[Buffer], inner: Estimate
) -> Estimate:
    """Return the outline of a code whose survivors are held by another; the rest is zero."""
    return Estimate(kind, meta, tuple(buffers), {"inner": inner}, inner.nonzeros)


def integers(name: str, bits: int) -> Buffer:
    """Return a buffer of packed integers."""
    return Buffer(name, Known.exactly(bits))


def positions(count: int, size: int) -> tuple[dict[str, int], tuple[Buffer, ...]]:
    """Return meta and buffers of a pattern of survivors; see :mod:`.bitpack`.

    Expected is what random positions take. Gaps between those are close to geometric: a quotient
    of the Rice code with parameter b is ``q^(2^b) / (1 − q^(2^b))`` on average, q the chance that a
    weight does not survive. Whatever the positions, the code takes at least a bit a survivor, and
    at most what gaps without remainders do.

    Args:
        count: How many survive.
        size: Of how many.
    """
    if count >= size:
        return {"count": count, "rice": -1}, (integers("bitmap", size),)
    lost = (size - count) / (size + 1)  # for which the mean gap is what it is
    mean = (size - count) / (count + 1)
    guess = int(math.log2(max(mean, 1.0)))
    best, parameter, most = math.inf, 0, math.inf
    for b in range(max(guess - 2, 0), guess + 3):
        whole = lost ** (1 << b)
        bits = count * (1 + b) + count * whole / (1 - whole)
        if bits < best:
            best, parameter = bits, b
        most = min(most, count * (1 + b) + ((size - count) >> b))
    if best >= size:
        return {"count": count, "rice": -1}, (Buffer("bitmap", Known(size, count, size)),)
    # remainders have a fixed width, but the weights decide which one: bounds are those of the sum
    fixed = parameter * count
    unary = Known(best - fixed, count, min(size, most) - fixed)
    return {"count": count, "rice": parameter}, (
        Buffer("unary", unary),
        Buffer("remainders", Known(fixed, 0, fixed)),
    )


def indices(shapes: Shapes, size: int) -> int:
    """Return the bits of an index into ``size`` things for every weight."""
    return total_numel(shapes) * bitpack.width(size)


def matrix_numbers(shapes: Shapes) -> int:
    """Return how many numbers are in tensors of two or more dimensions."""
    return sum(numel(shape) for shape in shapes if len(shape) > 1)

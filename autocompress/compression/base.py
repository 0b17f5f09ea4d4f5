"""The two nouns of compression: a scheme (`Compression`) and what it produces (`Code`)."""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from autocompress.errors import SchemeError

if TYPE_CHECKING:
    from autocompress.compression.estimate import Estimate
    from autocompress.compression.streams import Stream
    from autocompress.compression.weighting import Weighting

Tensors: TypeAlias = tuple[Tensor, ...]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]
Meta: TypeAlias = dict[str, Any]
"""JSON values only: numbers, strings, booleans, lists and dicts of them."""


SELECT, ASSIGN, GRID, CAST = range(4)
"""Stages of a composition; see :attr:`Compression.stage`."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a model says of one parameter, for schemes that need more than its values.

    Attributes:
        inputs: Spatial shape of the layer's input, empty for linear layers and vectors.
        outputs: Spatial shape of its output.
        tie: Channels of parameters with the same number (not None) are added or multiplied to each
            other, index by index, somewhere in the model: they can only be removed together.
        tied: How many layers have that number; layers whose channels meet these under other
            indices, or can never lose any, count too.
        groups: How many groups a convolution's channels are divided into.
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    tie: int | None = None
    tied: int = 0
    groups: int = 1


class Code(ABC):
    """Compressed weights: everything needed to decode them, and nothing else.

    A code is a tree. What a scheme decides (which weights survive, which codebook entry each one
    takes, the factors' shapes) is the node; the real numbers it still needs are its
    :meth:`reals`, held by an inner code that another scheme may compress further. That is all
    :class:`~autocompress.compression.combinations.compose.Compose` does.

    Concrete codes are frozen dataclasses and final.
    """

    kind: ClassVar[str]
    """Name of the encoding in packed files; never reused with another meaning."""

    @abstractmethod
    def decode(self) -> Tensors:
        """Return the weights Δ(Θ): the shapes, dtypes and device that were projected."""

    @abstractmethod
    def own_bits(self) -> int:
        """Return the bits of this node's own buffers, children excluded."""

    def bits(self) -> int:
        """Return all the bits needed to decode, children included; agrees with the packed file."""
        return self.own_bits() + sum(child.bits() for child in self.children().values())

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return this node's own buffers, bit-packed for storage."""

    @abstractmethod
    def meta(self) -> Meta:
        """Return the JSON values that :meth:`restore` needs besides buffers and children."""

    def children(self) -> dict[str, Code]:
        """Return the codes this one refers to, by name."""
        return {}

    @classmethod
    @abstractmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        """Rebuild the code from its parts; decodes to exactly the same weights.

        Raises:
            ValueError, KeyError: parts that cannot belong together (a damaged file).
        """

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        """Return what integers are in which buffers, for entropy-coded files.

        Nothing has to be said: a buffer that no stream names is coded as symbols of whatever width
        is cheapest. Saying it is better where symbols have an alphabet that is no power of two, or
        differ from tensor to tensor. What is said is part of the format: a file is read by what
        was said when it was written.

        Args:
            meta: The code's :meth:`meta`; when a file is read, it comes from there and has not been
                checked by :meth:`restore` yet.
        """
        del meta
        return ()

    def reals(self) -> Tensors:
        """Return the real numbers that are still free to be compressed further."""
        raise SchemeError(f"nothing can be composed after {self.kind!r}: put it inside its terms")

    def with_reals(self, inner: Code) -> Code:
        """Return this code with its real numbers held by ``inner``."""
        raise SchemeError(f"nothing can be composed after {self.kind!r}: put it inside its terms")

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        """Return the norm on :meth:`reals` that a norm on the decoded weights leads to.

        None, the identity, where it has no such form (a codebook entry's, a factor's).
        """
        del weighting
        return None


class InnerCode(Code):
    """A code whose real numbers are held by one inner code; its dataclass declares the field."""

    inner: Code

    def children(self) -> dict[str, Code]:
        return {"inner": self.inner}

    def reals(self) -> Tensors:
        return self.inner.reals()

    def with_reals(self, inner: Code) -> Self:
        return self.with_inner(self.inner.with_reals(inner))

    def with_inner(self, inner: Code) -> Self:
        """Return this code with another inner code."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return type(self)(**{**fields, "inner": inner})


class Compression(ABC):
    """A compression scheme: the C step of the L-C algorithm.

    Concrete schemes are frozen dataclasses whose fields are their hyperparameters. They keep no
    state: the previous solution is passed in.
    """

    name: ClassVar[str]
    """Name in YAML, in plans and on the command line."""

    structured: ClassVar[bool] = False
    """Whether a task with this scheme also takes the parameters tied to a layer's output channels
    (bias, batch-norm scale and shift), each right after its weight."""

    smooth: ClassVar[bool] = False
    """Whether Θ varies continuously, as factors and casts do: with discrete choices (which weights
    survive, which entry each takes) a fast growing mu freezes them too early."""

    penalized: ClassVar[bool] = False
    """Whether :meth:`penalty` is not zero: the solution then depends on mu, and the last step's is
    the one that solves the problem posed."""

    stage: ClassVar[int] = SELECT
    """Where it may stand in a composition: ``SELECT`` (what is kept: pruning, factors), ``ASSIGN``
    (a value for every weight: codebooks), ``GRID`` (uniform levels), ``CAST`` (a narrower float).
    After ``ASSIGN`` only later stages make sense: see ``Compose``."""

    codes: ClassVar[tuple[type[Code], ...]] = ()
    """An extension's own code classes, which :meth:`project` returns: where the scheme is known,
    files that hold them can be read."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """What :meth:`bind` reads of a parameter's :class:`Facts`: ``"spatial"``, ``"tie"``."""

    weightings: ClassVar[frozenset[str]] = frozenset()
    """Norms other than the identity that :meth:`project` takes: ``"diagonal"``,
    ``"covariance"``."""

    ranges: ClassVar[Mapping[str, Any]] = {}
    """Search ranges of fields without default, in the grammar of search spaces, for a space that
    names the scheme alone."""

    @abstractmethod
    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> Code:
        """Solve the C step: the Θ minimising ``penalty(Θ) + mu/2 ‖w − Δ(Θ)‖²``.

        Called once for direct compression (mu → 0⁺) and once after every L step.

        Args:
            weights: The task's parameters in their natural shapes, floating point and finite.
                Never mutated. Elementwise schemes see them as one concatenated vector.
            mu: The current penalty parameter; constrained schemes do not depend on it.
            previous: The last step's solution, for a warm start; never makes the result worse
                than a cold start would be, unless the docstring says so.
            weighting: The norm to measure distance in; None is the identity. A scheme refuses one
                that is not among its :attr:`weightings`.

        Raises:
            SchemeError: the weights are not finite or the scheme cannot apply to their shapes.
        """

    def penalty(self, code: Code) -> float:
        """Return penalty(Θ) of a solution: 0 for constrained schemes."""
        del code
        return 0.0

    def check(self, shapes: Shapes) -> None:
        """Raise SchemeError if the scheme cannot apply to weights of these shapes."""

    def fitted(self, shapes: Shapes) -> Compression:
        """Return the scheme with what is too large for these shapes made to fit.

        Only searches call it: a codebook of 64 entries offered to every layer gets 10 where there
        are 10 weights. What cannot be made to fit is left for :meth:`check` to refuse.
        """
        del shapes
        return self

    def bind(self, facts: Sequence[Facts]) -> Compression:
        """Return the scheme with what it needs to know of the model filled in.

        Called when a plan meets a model and an example input, once per task.

        Args:
            facts: For each of the task's parameters, in order.
        """
        del facts
        return self

    def unbound(self) -> Compression:
        """Return the scheme as it was before :meth:`bind`."""
        return self

    def canonical(self, shapes: Shapes) -> Compression:
        """Return the simplest scheme with the same solutions (density 1 is dense)."""
        del shapes
        return self

    def remark(self, shapes: Shapes) -> str:
        """Return what a user should know about the scheme on these shapes; mostly nothing.

        Such as a rank that a layer's full rank does not exceed: it stays dense there.
        """
        del shapes
        return ""

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        """Return the shapes of the code's ``reals()``, for what is composed after this scheme.

        The smallest possible where they depend on the weights. None where nothing may follow.
        """
        del shapes
        return None

    def estimate(self, shapes: Shapes) -> Estimate | None:
        """Return the outline of the code of weights of these shapes: how large it will be.

        Searches ask for it, to compare with limits what has no weights yet. None where the weights
        decide how much of them is kept, and for schemes that do not say.

        Args:
            shapes: Those of float32 tensors that :meth:`check` accepts; what :meth:`bind` fills
                in has been. The weights are taken to be all different.
        """
        del shapes
        return None

    def describe(self) -> str:
        """Return a short human-readable form, such as ``prune(density=0.05)``.

        Fields that are as by default, and those :meth:`bind` fills in, are left out.
        """
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # concrete ones are dataclasses
        shown = ((f.name, getattr(self, f.name)) for f in fields if _told(self, f))
        return f"{self.name}({', '.join(f'{name}={_short(value)}' for name, value in shown)})"


def _told(scheme: Compression, field: dataclasses.Field[Any]) -> bool:
    return field.repr and getattr(scheme, field.name) != field.default


def _short(value: object) -> str:
    if isinstance(value, Compression):
        return value.describe()
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def refuse(name: str, weighting: Weighting | None) -> None:
    """Raise SchemeError if a scheme that knows the identity alone is given another norm."""
    if weighting is not None:
        kind = type(weighting).__name__.lower()
        raise SchemeError(f"{name} has no {kind} weighting: accepted is none (identity)")


def numel(shape: Sequence[int]) -> int:
    """Number of elements of a tensor of this shape."""
    return math.prod(shape)


def total_numel(shapes: Shapes) -> int:
    """Number of elements of all tensors of these shapes together."""
    return sum(map(math.prod, shapes))


def shapes_of(weights: Tensors) -> Shapes:
    """Shapes of the tensors, as plain tuples."""
    return tuple(tuple(w.shape) for w in weights)


def flatten(weights: Tensors) -> Tensor:
    """Concatenate weights into one vector (a view where there is just one).

    Raises:
        SchemeError: some weight is NaN or infinite, or there is none.
    """
    flat = joined(weights)
    require_finite(flat)
    return flat


def joined(weights: Tensors) -> Tensor:
    """Concatenate weights as :func:`flatten` does, where what follows finds NaN and infinity.

    Raises:
        SchemeError: there is no weight.
    """
    if not weights:
        raise SchemeError("a compression needs at least one weight tensor")
    parts = [w.reshape(-1) for w in weights]
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).detach()


def require_finite(tensor: Tensor) -> None:
    """Raise SchemeError if any element is NaN or infinite."""
    tensor = tensor.detach()
    # one pass mostly settles it: no sum is finite if a number is not
    if not tensor.numel() or math.isfinite(float(tensor.sum())):
        return
    # or the sum overflowed. Nothing is made: NaN is both the smallest and the largest
    low, high = _extremes(tensor)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SchemeError("weights contain NaN or infinity: nothing can be compressed")


def _extremes(tensor: Tensor) -> tuple[float, float]:
    if tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64):
        array = tensor.numpy()  # its two passes take half the time of torch's one
        with np.errstate(invalid="ignore"):
            return float(array.min()), float(array.max())
    low, high = torch.aminmax(tensor)
    return float(low), float(high)


def unflatten(flat: Tensor, shapes: Shapes) -> Tensors:
    """Cut a vector back into tensors of the given shapes (views)."""
    total, places = _places(shapes)
    if flat.requires_grad or flat.stride() != (1,) or flat.numel() != total:
        sizes = [numel(shape) for shape in shapes]
        return tuple(p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True))
    first = flat.storage_offset()  # a call a tensor, where splitting and viewing are two
    return tuple(flat.as_strided(size, step, first + start) for size, step, start in places)


_Place: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], int]


@functools.lru_cache(maxsize=256)
def _places(shapes: Shapes) -> tuple[int, tuple[_Place, ...]]:
    """Return the elements of all tensors, and of each its shape, strides and first element."""
    places, start = [], 0
    for shape in shapes:
        steps = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        places.append((shape, steps, start))
        start += math.prod(shape)
    return start, tuple(places)

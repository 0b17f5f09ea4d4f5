"""What a scheme produces: a tree of codes, from which the weights are decoded."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from torch import Tensor

from autocompress.compression.tensors import Tensors
from autocompress.errors import SchemeError

if TYPE_CHECKING:
    from autocompress.compression.streams import Stream
    from autocompress.compression.weighting import Weighting

Meta: TypeAlias = dict[str, Any]
"""JSON values only: numbers, strings, booleans, lists and dicts of them."""

_READY = "_ready"  # where a code has its decoded weights until somebody asks for them


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

    def holding(self, decoded: Tensors) -> Self:
        """Return this code, which then has ready what its scheme had in hand when it was made.

        The first :meth:`decode` may give that away by :meth:`given`. Copies and files are without.

        Args:
            decoded: To the last bit what decoding would make, in tensors of nobody else.
        """
        self.__dict__[_READY] = decoded
        return self

    def given(self) -> Tensors | None:
        """Return what :meth:`holding` was given, once, and None after that."""
        ready: Tensors | None = self.__dict__.pop(_READY, None)
        return ready

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != _READY}

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

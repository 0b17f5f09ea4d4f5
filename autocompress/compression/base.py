"""A compression scheme; with it, by one name, all that schemes and codes are written with."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autocompress.compression.code import Code, InnerCode, Meta
from autocompress.compression.tensors import (
    Shapes,
    Tensors,
    flatten,
    gathered_small,
    joined,
    numel,
    require_finite,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.errors import SchemeError

if TYPE_CHECKING:
    from autocompress.compression.estimate import Estimate
    from autocompress.compression.weighting import Weighting

__all__ = [
    "ASSIGN",
    "CAST",
    "GRID",
    "SELECT",
    "Code",
    "Compression",
    "Facts",
    "InnerCode",
    "Meta",
    "Shapes",
    "Tensors",
    "flatten",
    "gathered_small",
    "joined",
    "numel",
    "refuse",
    "require_finite",
    "shapes_of",
    "total_numel",
    "unflatten",
]

_READY = "_ready"  # where a code has its decoded weights until somebody asks for them

SELECT, ASSIGN, GRID, CAST = range(4)
"""Stages of a composition; see :attr:`Compression.stage`."""


@dataclasses.dataclass(frozen=True)
class Span:
    """Channels of a parameter that can only be removed together with others.

    Attributes:
        tie: The same number for all that meet, first to first and so on.
        start: The first channel.
        stop: The one after the last.
        members: How many spans of parameters have this number. Channels that meet these irregularly
            or can never be removed count as one more.
    """

    tie: int
    start: int
    stop: int
    members: int


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a model says of one parameter, for schemes that need more than its values.

    Attributes:
        inputs: Spatial shape of the layer's input, empty for linear layers and vectors.
        outputs: Spatial shape of its output.
        ties: Its channels that are added or multiplied to others, index by index, somewhere in the
            model. All of a weight's channels are in one of the spans, if there are any.
        joint: Whether it is a vector of a batch norm that belongs to no single layer: after a
            concatenation or an addition.
        groups: How many groups a convolution's channels are divided into.
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    ties: tuple[Span, ...] = ()
    joint: bool = False
    groups: int = 1


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

    joined: tuple[int, ...] = ()
    """Positions of the last of a task's parameters, where :meth:`bind` found them to follow the
    channels of others: vectors of batch norms after a concatenation or an addition."""

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
    """What :meth:`bind` reads of a parameter's :class:`Facts`: ``"spatial"``, ``"tie"``; with
    ``"norms"`` the task takes in the vectors of joint batch norms."""

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
        """Raise SchemeError if the scheme cannot apply to weights of these shapes.

        Its message calls them "tensor 0", "tensor 1" and so on; a plan puts their names there.
        """

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

        Such as a rank that a layer's full rank does not exceed: it stays dense there. Tensors are
        called as by :meth:`check`.
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

"""The regularizers: a penalty of the magnitudes in some view of a weight, and orthogonality."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from autocompress.compression.factorized.factors import from_matrix, to_matrix
from autocompress.regularizers.base import Positive, Regularizer
from autocompress.regularizers.functions import Clipped, Entropy, Penalty, Ratio, Total
from autocompress.regularizers.views import Elements, Groups, Singular, View

_AXES = {"outputs": 0, "inputs": 1, "each-output": 0, "each-input": 1}
Bend = Annotated[float, Field(gt=2, allow_inf_nan=False)]


class _OfMagnitudes(Regularizer):
    """``R(W) = scale · f(magnitudes of W)``."""

    @abstractmethod
    def view(self, weight: Tensor) -> View:
        """Return the magnitudes that are penalised."""

    @abstractmethod
    def penalty(self) -> Penalty:
        """Return f."""

    def scale(self, weight: Tensor) -> float:
        """Return the factor of one weight."""
        del weight
        return 1.0

    def measure(self, weight: Tensor) -> Tensor:
        return self.penalty().value(self.view(weight).magnitudes).to(weight.dtype) * self.scale(
            weight
        )

    def slope(self, weight: Tensor) -> Tensor:
        view = self.view(weight)
        return view.scaled(self.penalty().slope(view.magnitudes) * self.scale(weight))

    def shrink(self, weight: Tensor, step: float) -> Tensor:
        view = self.view(weight)
        return view.scaled(self.penalty().prox(view.magnitudes, step * self.scale(weight)))


class _OfElements(_OfMagnitudes):
    def view(self, weight: Tensor) -> View:
        return Elements(weight)


class _OfSingularValues(_OfMagnitudes):
    """Of the singular values of each weight as a matrix.

    Attributes:
        conv: How a convolution becomes one: ``"channel"`` ``(out, in · kernel)`` or ``"spatial"``,
            as in :class:`~autocompress.LowRank`.
    """

    conv: Literal["channel", "spatial"] = "channel"

    def matrices(self) -> bool:
        return True

    def view(self, weight: Tensor) -> View:
        return Singular(weight, self.conv)


@final
class L1(_OfElements):
    """``R = ‖W‖₁``; proximal operator: the soft threshold."""

    closed_prox: ClassVar[bool] = True
    name: Literal["l1"] = "l1"

    def penalty(self) -> Penalty:
        return Total()


@final
class Hoyer(_OfMagnitudes):
    """``R = ‖v‖₁ / ‖v‖₂``, or its square: small for sparse v, whatever the scale.

    Attributes:
        square: Whether it is squared (DeepHoyer, arXiv:1908.09979).
        over: v: ``"weights"``: all elements; ``"outputs"``, ``"inputs"``: the lengths ‖w_g‖₂ of the
            weights of each, so that few of them are left; ``"each-output"``, ``"each-input"``: the
            elements of each, summed over them.
    """

    name: Literal["hoyer"] = "hoyer"
    square: bool = False
    over: Literal["weights", "outputs", "inputs", "each-output", "each-input"] = "weights"

    def penalty(self) -> Penalty:
        return Ratio(self.square)

    def view(self, weight: Tensor) -> View:
        if self.over in ("outputs", "inputs"):
            return Groups(weight, _AXES[self.over])
        return Elements(weight, None if self.over == "weights" else _AXES[self.over])

    def matrices(self) -> bool:
        return self.over != "weights"


@final
class SCAD(_OfMagnitudes):
    """Smoothly clipped absolute deviation: ‖W‖₁ for small weights, no pull on large ones.

    Slope 1 up to the threshold t, falling to 0 at a·t (Fan & Li 2001; theirs is ``strength = t``).

    Attributes:
        threshold: t, in units of the weights (or lengths).
        a: See above, > 2; their advice is 3.7.
        over: ``"weights"``, or the lengths of the weights of each of the ``"outputs"`` or
            ``"inputs"``.
    """

    closed_prox: ClassVar[bool] = True
    name: Literal["scad"] = "scad"
    threshold: Positive = 0.05
    a: Bend = 3.7
    over: Literal["weights", "outputs", "inputs"] = "weights"

    def penalty(self) -> Penalty:
        return Clipped(self.threshold, self.a)

    def view(self, weight: Tensor) -> View:
        return Elements(weight) if self.over == "weights" else Groups(weight, _AXES[self.over])

    def matrices(self) -> bool:
        return self.over != "weights"


@final
class GroupLasso(_OfMagnitudes):
    """``R = Σ_g √n_g ‖w_g‖₂`` over groups of n_g weights (Yuan & Lin 2006).

    Its proximal operator shortens each group by ``step · √n_g``, to 0 at most.

    Attributes:
        over: The groups: all weights of one output (neuron, filter), or of one input.
    """

    closed_prox: ClassVar[bool] = True
    name: Literal["group-lasso"] = "group-lasso"
    over: Literal["outputs", "inputs"] = "outputs"

    def matrices(self) -> bool:
        return True

    def penalty(self) -> Penalty:
        return Total()

    def view(self, weight: Tensor) -> View:
        return Groups(weight, _AXES[self.over])

    def scale(self, weight: Tensor) -> float:
        return math.sqrt(weight.numel() / max(1, weight.shape[_AXES[self.over]]))


@final
class NuclearNorm(_OfSingularValues):
    """``R = Σ σ_i``; proximal operator: the soft threshold of the singular values."""

    closed_prox: ClassVar[bool] = True
    name: Literal["nuclear-norm"] = "nuclear-norm"

    def penalty(self) -> Penalty:
        return Total()


@final
class SingularHoyer(_OfSingularValues):
    """``R = ‖σ‖₁ / ‖σ‖₂``, or its square: few singular values, whatever the scale.

    Attributes:
        square: Whether it is squared.
    """

    name: Literal["singular-hoyer"] = "singular-hoyer"
    square: bool = False

    def penalty(self) -> Penalty:
        return Ratio(self.square)


@final
class SingularSCAD(_OfSingularValues):
    """SCAD of the singular values: small ones vanish, large ones are left alone.

    Attributes:
        threshold: Where it begins to bend, in units of the singular values.
        a: Where it is constant, in units of the threshold; > 2.
    """

    closed_prox: ClassVar[bool] = True
    name: Literal["singular-scad"] = "singular-scad"
    threshold: Positive = 0.5
    a: Bend = 3.7

    def penalty(self) -> Penalty:
        return Clipped(self.threshold, self.a)


@final
class SingularEntropy(_OfSingularValues):
    """Entropy ``−Σ p_i log p_i`` of the singular values, in nats.

    Attributes:
        of: ``"shares"``: p = σ / Σσ, the logarithm of the effective rank (Roy & Vetterli 2007);
            ``"softmax"``: p = softmax(σ).
    """

    name: Literal["singular-entropy"] = "singular-entropy"
    of: Literal["shares", "softmax"] = "shares"

    def penalty(self) -> Penalty:
        return Entropy(self.of == "softmax")


@final
class Orthogonality(Regularizer):
    """``R = ‖M Mᵀ − I‖²_F / r`` of the weight as a matrix M, turned to have r <= n rows.

    Keeps the rows (of a tall matrix, the columns) orthonormal, as those of SVD factors are.

    Attributes:
        conv: How a convolution becomes a matrix, see :class:`NuclearNorm`.
    """

    name: Literal["orthogonality"] = "orthogonality"
    conv: Literal["channel", "spatial"] = "channel"

    def matrices(self) -> bool:
        return True

    def measure(self, weight: Tensor) -> Tensor:
        gap = _gram_gap(_flat(weight, self.conv))
        return gap.square().sum() / len(gap)

    def slope(self, weight: Tensor) -> Tensor:
        matrix = to_matrix(weight, self.conv)
        flat = _flat(weight, self.conv)
        gap = _gram_gap(flat)
        slope = 4 / len(gap) * (gap @ flat)
        slope = slope if flat.shape == matrix.shape else slope.T
        return from_matrix(slope, tuple(weight.shape), self.conv)


def _flat(weight: Tensor, conv: str) -> Tensor:
    matrix = to_matrix(weight, conv)
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _gram_gap(flat: Tensor) -> Tensor:
    return flat @ flat.T - torch.eye(len(flat), dtype=flat.dtype, device=flat.device)

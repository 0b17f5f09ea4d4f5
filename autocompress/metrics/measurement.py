"""Everything metrics may look at, worked out when first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from torch import Tensor, nn

from autocompress.data import Data, Split
from autocompress.evaluation import Evaluation
from autocompress.metrics.flops import count_flops
from autocompress.metrics.latency import LatencyReport, LatencySettings, measure_latency
from autocompress.metrics.size import SizeReport


class Measurable(Protocol):
    """The part of :class:`~autocompress.compressed.Compressed` that metrics need."""

    @property
    def size(self) -> SizeReport:
        """Sizes of the packed model."""

    def evaluate(self, split: Split, batch_size: int = ...) -> Evaluation:
        """Return loss and accuracy on a split."""

    def realize(self, example: Tensor | None = ...) -> nn.Module:
        """Return the module that is really smaller."""


class Measurement:
    """One compressed model under measurement.

    What several metrics share (the realized module, one evaluation, one latency measurement) is
    worked out once, and only if a metric asks for it.

    Attributes:
        compressed: The compressed model.
        reference: The uncompressed module, on the data's device.
        data: The data; metrics use the validation split, never the test split.
        settings: How latency is measured.
    """

    def __init__(
        self,
        compressed: Measurable,
        reference: nn.Module,
        data: Data,
        latency: LatencySettings | None = None,
    ) -> None:
        self.compressed = compressed
        self.reference = reference
        self.data = data
        self.settings = latency or LatencySettings()

    @cached_property
    def example(self) -> Tensor:
        """A batch of one input, ``(1, *input_shape)``."""
        return self.data.example(1)

    @cached_property
    def realized(self) -> nn.Module:
        """The module that is really smaller: factorized layers, pruned channels gone."""
        return self.compressed.realize(self.example)

    @cached_property
    def validation(self) -> Evaluation:
        """Loss and top-1 accuracy on the validation split."""
        return self.compressed.evaluate(self.data.val)

    @cached_property
    def size(self) -> SizeReport:
        """Bytes of the packed file, and three other definitions of size."""
        return self.compressed.size

    @cached_property
    def flops(self) -> int:
        """Floating point operations of the realized module, one sample."""
        return count_flops(self.realized, self.example)

    @cached_property
    def latency(self) -> LatencyReport:
        """Latency of the realized module next to the reference."""
        return measure_latency(self.realized, self.reference, self.example, self.settings)

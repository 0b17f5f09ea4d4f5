"""Latency of a realized module, measured next to its reference."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from autocompress.metrics.hardware import fingerprint
from autocompress.metrics.timing import (
    PLACEMENTS,
    Call,
    Clock,
    Floats,
    interleave,
    median_interval,
    repeats_for,
    warm_up,
)
from autocompress.settings import Settings

_COPIED_BYTES = 2**26  # larger weights outgrow the caches, wherever they lie
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LatencySettings(Settings):
    """How latency is measured.

    Attributes:
        batch_size: Samples in a call.
        samples: Fewest timed pairs of calls, one of each module.
        seconds: Goes on for this long where that many pairs take less: a machine's load changes
            over tenths of a second, and a measurement should see more than one state of it.
        max_seconds: Stops with fewer pairs (at least 10) after this long.
        warmup_seconds: Longest warm-up; it ends before, once durations no longer change.
        threads: PyTorch threads on the CPU.
        seed: Of the random input and the bootstrap.
    """

    batch_size: PositiveInt = 1
    samples: PositiveInt = 100
    seconds: Seconds = 0.3
    max_seconds: Seconds = 20.0
    warmup_seconds: Seconds = 0.5
    threads: PositiveInt = 1
    seed: int = 0


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of the duration of a call, in milliseconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: Floats) -> Self:
        """Return the percentiles of durations given in seconds."""
        return cls(*(float(p) for p in np.percentile(seconds * 1e3, [50, 90, 99])))


@dataclass(frozen=True)
class LatencyReport:
    """Durations of the compressed and the reference module, measured together.

    Attributes:
        compressed: Of the compressed, realized module, ms.
        reference: Of the reference module, ms.
        ratio: How long the compressed module takes relative to the reference: the median over the
            pairs of the ratio within a pair. Two medians of durations can come from different
            states of a busy machine, two durations of one pair hardly can.
        ratio_low: Lower end of the ratio's 95 % confidence interval.
        ratio_high: Upper end.
        samples: Number of pairs.
        repeats: Calls a sample of the compressed and of the reference module is the mean of; more
            than 1 for calls below 0.1 ms.
        batch_size: Samples in a call.
        threads: PyTorch threads.
        hardware: The machine; see :func:`autocompress.metrics.hardware.fingerprint`.
    """

    compressed: Percentiles
    reference: Percentiles
    ratio: float
    ratio_low: float
    ratio_high: float
    samples: int
    repeats: tuple[int, int]
    batch_size: int
    threads: int
    hardware: dict[str, str]

    @property
    def faster(self) -> bool:
        """Whether the compressed module is faster than the reference, beyond doubt."""
        return self.ratio_high < 1

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "repeats": list(self.repeats), "faster": self.faster}


def measure_latency(
    compressed: nn.Module,
    reference: nn.Module,
    example: Tensor,
    settings: LatencySettings | None = None,
    *,
    clock: Clock = time.perf_counter,
) -> LatencyReport:
    """Time a compressed module and its reference against each other.

    Both get the same random input, in eval and inference mode, and are warmed up until stationary;
    then they are timed in pairs, on ten copies of both one after the other. On an accelerator every
    call is waited for, so a duration is what a caller sees, launches included. An untimed call goes
    before each timed one, so weights are in the CPU's caches as far as they fit.

    Args:
        compressed: The realized module; copies of it are timed.
        reference: The uncompressed module, likewise.
        example: An input batch on the modules' device, ``(batch, *input_shape)``.
        settings: How to measure; the defaults take half a second for small networks.
        clock: Seconds; another clock makes tests repeatable.
    """
    settings = settings or LatencySettings()
    inputs = _inputs(example, settings)
    with _threads(settings.threads), torch.inference_mode():
        placements = _placements(compressed, reference, inputs)
        typical = warm_up(placements[0], seconds=settings.warmup_seconds, clock=clock)
        repeats = repeats_for(typical[0]), repeats_for(typical[1])
        times = interleave(
            placements,
            repeats,
            samples=settings.samples,
            seconds=settings.seconds,
            max_seconds=settings.max_seconds,
            clock=clock,
        )
        hardware = fingerprint(inputs.device)
    ours, theirs = (np.concatenate(side) for side in zip(*times, strict=True))
    ratios = [a / b for a, b in times]
    low, high = median_interval(ratios, seed=settings.seed)
    return LatencyReport(
        compressed=Percentiles.of(ours),
        reference=Percentiles.of(theirs),
        ratio=float(np.median(np.concatenate(ratios))),
        ratio_low=low,
        ratio_high=high,
        samples=len(ours),
        repeats=repeats,
        batch_size=settings.batch_size,
        threads=settings.threads,
        hardware=hardware,
    )


def _inputs(example: Tensor, settings: LatencySettings) -> Tensor:
    """Return a batch of normally distributed inputs; of copies of the example if not floats."""
    shape = (settings.batch_size, *example.shape[1:])
    if not example.is_floating_point():
        return example[:1].expand(shape).contiguous()
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.randn(shape, generator=generator).to(example)


def _placements(
    compressed: nn.Module, reference: nn.Module, inputs: Tensor
) -> list[tuple[Call, Call]]:
    """Return the two calls ten times, each on copies of its own unless the modules are large.

    Where its weights happen to lie in memory makes a network that fits the caches a few percent
    faster or slower than its own copy, for as long as both live. A single placement would report
    that as a difference between the modules.
    """
    size = sum(
        p.numel() * p.element_size() for m in (compressed, reference) for p in m.parameters()
    )
    distinct = PLACEMENTS if size <= _COPIED_BYTES else 1
    # even a single one is a copy: what a forward caches in inference mode could not be trained with
    pairs = [
        (_call(_copy(compressed), inputs), _call(_copy(reference), inputs)) for _ in range(distinct)
    ]
    return pairs * (PLACEMENTS // distinct)


def _copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).eval()


def _call(module: nn.Module, inputs: Tensor) -> Call:
    if inputs.device.type == "cpu":
        return lambda: module(inputs)

    def waited() -> None:
        module(inputs)
        torch.accelerator.synchronize(inputs.device)

    return waited


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

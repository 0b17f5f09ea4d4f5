"""Splits: one part of a data set (train, validation or test), read in batches.

Small data lives on the device as two tensors (:class:`TensorSplit`); large data streams through a
``DataLoader`` (:class:`LoaderSplit`). Everything downstream sees the :class:`Split` protocol only.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from autocompress.errors import ConfigError

Batches = Iterator[tuple[Tensor, Tensor]]
Augment = Callable[[Tensor, torch.Generator], Tensor]


@runtime_checkable
class Split(Protocol):
    """One part of a data set."""

    @property
    def device(self) -> torch.device:
        """Where the batches are delivered."""
        ...

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def batches(
        self, batch_size: int, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Read the split once.

        Called once an epoch. Everything random is drawn from ``generator`` and never from torch's
        global one, so the state of ``generator`` alone decides the order.

        Args:
            batch_size: Examples a batch; the last, partial batch is kept.
            generator: Shuffles with it when given; in order when None.

        Returns:
            Iterator of ``(x, y)``: ``x`` float32 of shape ``(batch, *input_shape)``, ``y`` int64 of
            shape ``(batch,)``, both on :attr:`device`. Treat them as read-only: they may be views.
        """
        ...

    def subset(self, n: int, seed: int = 0) -> Split:
        """Return the first ``n`` examples (all, at most) of a permutation fixed by ``seed``.

        The subsets of one seed are nested.
        """
        ...

    def to(self, device: torch.device | str) -> Split:
        """Return the same split, delivering on ``device``."""
        ...


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """A split held whole on its device.

    Args:
        x: float32, ``(n, *input_shape)``.
        y: int64, ``(n,)``, on the device of ``x``.
        augment: Random change of a training batch ``(x, generator) -> x``, applied to shuffled
            batches only; None for none.
    """

    x: Tensor
    y: Tensor
    augment: Augment | None = None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.x.device

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"TensorSplit({tuple(self.x.shape)}, device={str(self.device)!r})"

    def batches(
        self, batch_size: int, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Split.batches`. In order, batches are views; shuffled, one gather each."""
        _check_batch_size(batch_size)
        if generator is None:
            return self._slices(batch_size)
        # Drawn here, not at the first `next`: the generator has moved on once this call returns.
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        index = order.to(self.device)
        if self.augment is None:
            return self._gather(index, batch_size)
        own = torch.Generator().manual_seed(_draw_seed(generator))
        return self._augmented(index, batch_size, self.augment, own)

    def _slices(self, size: int) -> Batches:
        for start in range(0, len(self), size):
            yield self.x[start : start + size], self.y[start : start + size]

    def _gather(self, index: Tensor, size: int) -> Batches:
        x, y = self.x, self.y
        for start in range(0, len(index), size):
            chunk = index[start : start + size]
            yield x.index_select(0, chunk), y.index_select(0, chunk)

    def _augmented(
        self, index: Tensor, size: int, augment: Augment, generator: torch.Generator
    ) -> Batches:
        for x, y in self._gather(index, size):
            yield augment(x, generator), y

    def subset(self, n: int, seed: int = 0) -> TensorSplit:
        """See :meth:`Split.subset`."""
        index = _subset_index(len(self), n, seed).to(self.device)
        return replace(self, x=self.x.index_select(0, index), y=self.y.index_select(0, index))

    def to(self, device: torch.device | str) -> TensorSplit:
        """See :meth:`Split.to`."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True, eq=False)
class LoaderSplit:
    """A split streamed through a ``DataLoader``, for data too large for the device's memory.

    Random transforms inside ``dataset`` draw from torch's global generator when ``workers`` is 0;
    with workers, their seeds come from the ``generator`` given to :meth:`batches`.

    Args:
        dataset: Map-style; item ``i`` is ``(x, label)`` with ``x`` a tensor of ``input_shape``.
        workers: Loader processes. Taken as 0 inside a daemonic process, which may have no children.
        target: Device to deliver on.
    """

    dataset: Dataset[Any]
    workers: int = 0
    target: torch.device | str = "cpu"

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return torch.device(self.target)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # map-style by contract

    def batches(
        self, batch_size: int, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Split.batches`."""
        _check_batch_size(batch_size)
        order: Any = range(len(self))
        seed = 0
        if generator is not None:
            shuffled = torch.randperm(len(self), generator=generator, device=generator.device)
            order, seed = shuffled.tolist(), _draw_seed(generator)
        daemonic = multiprocessing.current_process().daemon
        loader = DataLoader(
            self.dataset,
            batch_size=batch_size,
            sampler=order,
            num_workers=0 if daemonic else self.workers,
            pin_memory=self.device.type == "cuda",
            # a loader without a generator of its own draws its seed from the global one
            generator=torch.Generator().manual_seed(seed),
        )
        return self._stream(loader)

    def _stream(self, loader: DataLoader[Any]) -> Batches:
        device = self.device
        for x, y in loader:
            yield (
                x.to(device, torch.float32, non_blocking=True),
                y.to(device, torch.int64, non_blocking=True),
            )

    def subset(self, n: int, seed: int = 0) -> LoaderSplit:
        """See :meth:`Split.subset`."""
        index = _subset_index(len(self), n, seed)
        return replace(self, dataset=Subset(self.dataset, index.tolist()))

    def to(self, device: torch.device | str) -> LoaderSplit:
        """See :meth:`Split.to`."""
        return replace(self, target=torch.device(device))


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}: must be at least 1")


def _draw_seed(generator: torch.Generator) -> int:
    high = torch.iinfo(torch.int64).max
    return int(torch.randint(high, (), generator=generator, device=generator.device))


def _subset_index(length: int, n: int, seed: int) -> Tensor:
    """Sorted positions of the subset: cheap to read in order, and independent of the device."""
    if n < 1:
        raise ConfigError(f"subset of {n} examples: must be at least 1")
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    return order[:n].sort().values

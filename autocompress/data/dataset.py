"""`Data`: the three splits with their shapes and identity; `DataSpec`: how to load them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor

from autocompress.data.checks import digest
from autocompress.data.split import Augment, Split, TensorSplit
from autocompress.errors import DataError
from autocompress.settings import Settings


class DataSpec(Settings):
    """A named data set as plain values, so that another process can load the very same splits.

    Args:
        name: One of :func:`autocompress.data.names`.
        root: Folder the files are in; made absolute. None for the default folder (see
            :func:`autocompress.data.load`).
        seed: Decides which examples go to which split.
        val_fraction: Share of the training examples used for validation; None for the data set's
            own default.
        image_size: ``image-folder`` only: side of the square image, in pixels.
        workers: ``image-folder`` only: loader processes when the images are streamed.
    """

    name: str
    root: str | None = None
    seed: int = 0
    val_fraction: float | None = Field(default=None, gt=0, lt=1)
    image_size: int = Field(default=224, ge=8)
    workers: int = Field(default=0, ge=0)

    @field_validator("root", mode="before")
    @classmethod
    def _absolute(cls, root: Any) -> Any:
        return root if root is None else str(Path(root).expanduser().resolve())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataSpec:
        """Read the JSON form back.

        Raises:
            ConfigError: An unknown key or an unusable value.
        """
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Data:
    """A classification data set in three fixed splits.

    Args:
        name: Its name, for people.
        train: What weights are fitted to.
        val: What choices (best epoch, best step, trials' objectives) are made on.
        test: Reported only, never chosen on.
        input_shape: Shape of one example, without the batch.
        classes: Number of classes; labels are ``0 .. classes - 1``.
        digest: 16 hexadecimal digits of a SHA-256 over the content and its split.
        spec: How to load it again elsewhere; None for data made in memory.
    """

    name: str
    train: Split
    val: Split
    test: Split
    input_shape: tuple[int, ...]
    classes: int
    digest: str
    spec: DataSpec | None = None

    def __repr__(self) -> str:
        sizes = f"train={len(self.train)}, val={len(self.val)}, test={len(self.test)}"
        shape = "x".join(map(str, self.input_shape))
        return f"Data({self.name!r}, {sizes}, {shape}, {self.classes} classes, {self.digest})"

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return self.train.device

    def example(self, batch: int = 1) -> Tensor:
        """Return a made-up input, the same at every call, to trace or time a model with.

        Args:
            batch: Number of examples.

        Returns:
            Standard normal float32, ``(batch, *input_shape)``, on :attr:`device`.
        """
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, *self.input_shape, generator=generator).to(self.device)

    def to(self, device: torch.device | str) -> Data:
        """Return the same data on ``device``."""
        return replace(
            self,
            train=self.train.to(device),
            val=self.val.to(device),
            test=self.test.to(device),
        )

    def augmented(self, augment: Augment) -> Data:
        """Return the same data with training batches that change from epoch to epoch.

        In place of what the data set itself may do with them.

        Args:
            augment: Takes a batch ``(batch, *input_shape)`` and a generator to draw from, and
                returns a changed copy: :class:`~autocompress.data.Shift`,
                :class:`~autocompress.data.CropFlip`, or a function of your own. Its ``repr`` enters
                the digest, so it should tell its settings.

        Returns:
            Data with another digest, thus with references of its own, and without a spec.

        Raises:
            DataError: The training examples are streamed, or ``augment`` does not take them.
        """
        if not isinstance(self.train, TensorSplit):
            raise DataError(
                f"{self.name}: streamed examples are changed by the transform of their data set, "
                f"not by {augment!r}"
            )
        few = self.train.x[:2]
        try:
            shape = augment(few.clone(), torch.Generator()).shape
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            batch = f"a batch of shape {tuple(few.shape)}"
            raise DataError(f"{self.name}: {augment!r} does not take {batch}: {error}") from error
        if shape != few.shape:
            raise DataError(
                f"{self.name}: {augment!r} returns {tuple(shape)} for a batch of {tuple(few.shape)}"
            )
        return replace(
            self,
            train=replace(self.train, augment=augment),
            digest=digest("augmented/1", self.digest, repr(augment)),
            spec=None,
        )

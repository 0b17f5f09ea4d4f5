"""Data of the user's own: tensors or torch data sets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autocompress.data.checks import check_labels, checked_pair, digest
from autocompress.data.dataset import Data
from autocompress.data.split import LoaderSplit, TensorSplit
from autocompress.errors import DataError

Pair = tuple[Any, Any]

IN_MEMORY = 1 << 30
"""Bytes of float32 inputs up to which data sets are held whole as tensors (1 GiB)."""

_SAMPLES = 64  # items of a streamed split that its digest reads


def from_tensors(
    *,
    train: Pair,
    val: Pair,
    test: Pair,
    classes: int | None = None,
    name: str = "tensors",
    device: torch.device | str | None = None,
) -> Data:
    """Make data of tensors or arrays; inputs are taken as they are (no scaling).

    Args:
        train: ``(x, y)``: ``x`` ``(n, *input_shape)``, converted to float32; ``y`` integer class
            numbers ``(n,)``.
        val: The same, for choosing.
        test: The same, for reporting.
        classes: Number of classes; None for the largest training label plus one.
        name: Its name in reports.
        device: Where to hold it; None for where the training inputs are.

    Raises:
        DataError: Lengths differ, an empty split, NaN or infinite inputs, labels that are not
            integers or out of range, or inputs of different shapes.
    """
    given = {"train": train, "val": val, "test": test}
    pairs = {where: checked_pair(where, pair) for where, pair in given.items()}
    shape = tuple(pairs["train"][0].shape[1:])
    if classes is None:
        classes = int(pairs["train"][1].max()) + 1
    for where, (x, y) in pairs.items():
        if tuple(x.shape[1:]) != shape:
            raise DataError(f"{where}: inputs of shape {tuple(x.shape[1:])}, but train has {shape}")
        check_labels(where, y, classes)
    content = digest("tensors/1", str(classes), *(part for pair in pairs.values() for part in pair))
    target = pairs["train"][0].device if device is None else device
    train_split, val_split, test_split = (
        TensorSplit(x.to(target), y.to(target)) for x, y in pairs.values()
    )
    return Data(name, train_split, val_split, test_split, shape, classes, content)


def from_datasets(
    train: Dataset[Any],
    val: Dataset[Any],
    test: Dataset[Any],
    *,
    classes: int | None = None,
    name: str = "datasets",
    device: torch.device | str = "cpu",
    workers: int = 0,
    in_memory: int = IN_MEMORY,
) -> Data:
    """Make data of map-style torch data sets.

    They are read once into tensors when all their inputs fit in ``in_memory`` bytes; otherwise, or
    when ``train`` gives an item differently each time (random augmentation), they are streamed.

    Args:
        train: Item ``i`` is ``(x, label)``: a tensor or array of one shape for all, and an integer.
        val: The same, for choosing.
        test: The same, for reporting.
        classes: Number of classes; None to take it from the labels or the set's ``classes``.
        name: Its name in reports.
        device: Where batches are delivered.
        workers: Loader processes, for streaming.
        in_memory: See above. The digest of streamed data covers a sample of the items only.

    Raises:
        DataError: As :func:`from_tensors`; or items that are not ``(tensor, label)``, or a number
            of classes that cannot be told.
    """
    given = {"train": train, "val": val, "test": test}
    with torch.random.fork_rng(devices=[]):  # data sets may draw from the global generator
        torch.manual_seed(0)
        shapes = {where: _first_item(where, items).shape for where, items in given.items()}
        total = sum(4 * shapes[w].numel() * _length(w, given[w]) for w in given)
        if total <= in_memory and not _random(train):
            pairs = {where: _materialise(where, items) for where, items in given.items()}
            return from_tensors(**pairs, classes=classes, name=name, device=device)
        return _streamed(given, shapes, classes, name, device, workers)


def _streamed(
    given: dict[str, Dataset[Any]],
    shapes: dict[str, torch.Size],
    classes: int | None,
    name: str,
    device: torch.device | str,
    workers: int,
) -> Data:
    if classes is None:
        classes = _classes(given["train"])
    content = [f"stream/1 {classes}"]
    for where, items in given.items():
        if shapes[where] != shapes["train"]:
            raise DataError(
                f"{where}: inputs of shape {tuple(shapes[where])}, but train has "
                f"{tuple(shapes['train'])}"
            )
        x, y = _sample(where, items)
        check_labels(where, y, classes)
        content.append(digest(str(_length(where, items)), x, y))
    train, val, test = (LoaderSplit(items, workers, device) for items in given.values())
    return Data(name, train, val, test, tuple(shapes["train"]), classes, digest(*content))


def _length(where: str, items: Dataset[Any]) -> int:
    if not hasattr(items, "__len__"):
        raise DataError(f"{where}: a data set with a length is needed, not an iterable one")
    return len(items)


def _first_item(where: str, items: Dataset[Any]) -> Tensor:
    if _length(where, items) == 0:
        raise DataError(f"{where}: the split is empty")
    return _item(where, items, 0)[0]


def _item(where: str, items: Dataset[Any], i: int) -> tuple[Tensor, int]:
    try:
        x, label = items[i]
        return torch.as_tensor(x), int(label)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{where}: item {i} is not (tensor, label); a data set of images needs a transform "
            f"that makes tensors ({type(error).__name__}: {error})"
        ) from error


def _random(items: Dataset[Any]) -> bool:
    """Tell whether reading some items twice gives different inputs."""
    positions = range(min(8, _length("train", items)))
    return any(
        not torch.equal(_item("train", items, i)[0], _item("train", items, i)[0]) for i in positions
    )


def _materialise(where: str, items: Dataset[Any]) -> tuple[Tensor, Tensor]:
    try:
        batches = list(DataLoader(items, batch_size=256, generator=torch.Generator()))
        return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{where}: items cannot be put together: {type(error).__name__}: {error}"
        ) from error


def _sample(where: str, items: Dataset[Any]) -> tuple[Tensor, Tensor]:
    """Evenly spaced items, for the digest and a look at the labels."""
    positions = torch.linspace(0, _length(where, items) - 1, _SAMPLES).long().unique_consecutive()
    pairs = [_item(where, items, i) for i in positions.tolist()]
    return torch.stack([x for x, _ in pairs]), torch.tensor([label for _, label in pairs])


def _classes(items: Any) -> int:
    while items is not None:
        if getattr(items, "classes", None):
            return len(items.classes)
        items = getattr(items, "dataset", None)  # inside a Subset
    raise DataError("the number of classes of streamed data cannot be told: give classes=")

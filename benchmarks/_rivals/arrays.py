"""What the rivals are written with: lists of weight arrays, as one vector and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Arrays = list[Array]
Rival = Callable[[Arrays], Arrays]


def flat(weights: Arrays) -> Array:
    return np.concatenate([w.reshape(-1) for w in weights])


def cut(vector: Array, like: Arrays) -> Arrays:
    ends = np.cumsum([w.size for w in like])[:-1]
    return [part.reshape(w.shape) for part, w in zip(np.split(vector, ends), like, strict=True)]


def matrices(weights: Sequence[Array]) -> Arrays:
    return [w.reshape(len(w), -1) for w in weights]

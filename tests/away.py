"""A device that is not there: what mixes it with the CPU fails as it would with a GPU.

So does what hands its numbers to NumPy. The numbers are computed on the CPU, so how a GPU rounds is
not seen. All of that goes on within :func:`away`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy")  # of those that torch knows, one that needs no hardware
_CPU = torch.device("cpu")
_COPIES = ("aten._to_copy", "aten.copy_", "aten.copy")
_INDEXED = ("aten.index", "aten.index_put", "aten.index_put_")  # take places from the CPU


class Away(Tensor):
    """A tensor of another device; ``here`` is where its numbers are."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Away:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.shape,
            here.stride(),
            here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
            requires_grad=here.requires_grad,
        )
        made.here = here.detach()
        return made  # type: ignore[no-any-return]

    @property  # type: ignore[override]
    def data(self) -> Away:
        return Away(self.here)

    @data.setter
    def data(self, value: Away) -> None:
        self.here = value.here

    def __repr__(self, **_: Any) -> str:
        return f"Away({self.here})"

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name.replace("::", ".")
        target = kwargs.get("device")
        given, _ = tree_flatten((args, kwargs))
        tensors = [t for t in given if isinstance(t, Tensor)]
        homes = {id(t.here): t for t in tensors if isinstance(t, Away)}
        if name not in _COPIES + _INDEXED:
            mixed = [t for t in tensors if not isinstance(t, Away) and t.dim()]
            if mixed:
                raise RuntimeError(f"{name}: tensors on two devices")
        if target is not None:
            kwargs["device"] = _CPU
        found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
        if name == "aten.copy_":  # stays where it is
            return args[0]
        if target is not None and target == _CPU:
            return found
        return tree_map(lambda t: _away(t, homes), found)


def _here(value: Any) -> Any:
    return value.here if isinstance(value, Away) else value


def _away(value: Any, homes: Mapping[int, Away]) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, Away):
        return value
    return homes[id(value)] if id(value) in homes else Away(value)


class _Factories(TorchDispatchMode):
    """Makes and moves tensors there."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        given, _ = tree_flatten((args, kwargs))
        if kwargs.get("device") != DEVICE or any(isinstance(value, Away) for value in given):
            return func(*args, **kwargs)
        return Away(func(*args, **kwargs | {"device": _CPU}))


class _Literals(TorchFunctionMode):
    """Makes tensors of numbers there, and numbers of tensors, which no dispatch mode sees."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.__getitem__ and isinstance(args[1], list):
            args = args[0], torch.tensor(args[1])
        if func is Tensor.tolist:
            return func(_here(args[0]))
        if func is Tensor.new_tensor and isinstance(args[0], Away):
            return func(args[0].here, *args[1:], **kwargs).to(DEVICE)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            return func(*args, **kwargs | {"device": _CPU}).to(DEVICE)
        return func(*args, **kwargs)


@contextlib.contextmanager
def away() -> Iterator[torch.device]:
    """Give a device that is there for a while."""
    with _Factories(), _Literals():
        yield DEVICE

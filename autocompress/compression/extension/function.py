"""Schemes made of plain functions."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, overload

import torch
from torch import Tensor

from autocompress.compression.base import (
    CAST,
    Code,
    Compression,
    Tensors,
    flatten,
    refuse,
)
from autocompress.compression.extension.exact import smallest
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError

_CLASS = "_autocompress_scheme"


@dataclasses.dataclass(frozen=True)
class FunctionScheme(Compression):
    """A scheme that is a function of each weight tensor; made by :func:`scheme`.

    What the function returns is stored in the smallest exact code there is, see
    :func:`.exact.smallest`, so that its size is real. Whether it is the
    nearest point of some set is up to the function.
    """

    stage: ClassVar[int] = CAST  # what its codes leave free is not the function's to say
    function: ClassVar[Callable[..., Tensor]]

    def __call__(self, weight: Tensor) -> Tensor:
        """Return the function's result for one tensor."""
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return type(self).function(weight, **settings)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> Code:
        refuse(self.name, weighting)
        del mu, previous
        flatten(weights)  # refuses what is not finite
        return smallest(tuple(self._apply(weight) for weight in weights))

    def _apply(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            result = self(weight.detach().clone(memory_format=torch.contiguous_format))
        if not isinstance(result, Tensor) or result.shape != weight.shape:
            what = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
            raise SchemeError(
                f"{self.name} returned {what[:80]} for a tensor of shape {tuple(weight.shape)}: "
                f"it must return a tensor of the same shape"
            )
        return result.detach().to(device=weight.device, dtype=weight.dtype)


@overload
def scheme(function: Callable[..., Tensor], /, **settings: Any) -> FunctionScheme: ...
@overload
def scheme(**settings: Any) -> Callable[[Callable[..., Tensor]], FunctionScheme]: ...
def scheme(
    function: Callable[..., Tensor] | None = None, /, **settings: Any
) -> FunctionScheme | Callable[[Callable[..., Tensor]], FunctionScheme]:
    """Make a compression scheme of a function that maps a weight tensor to another of its shape.

    Use it as a decorator, or call it where the scheme is needed::

        @ac.scheme
        def rounded(weight, digits: int = 2):
            return weight.round(decimals=digits)

        ac.Task("all", ["*.weight"], rounded)
        ac.Task("all", ["*.weight"], ac.scheme(rounded, digits=1))

    In YAML its name is ``module:function``, and the function's other arguments are its fields:
    ``{scheme: "mypackage.schemes:rounded", digits: 1}``.

    Args:
        function: Takes one tensor (a copy) of whatever shape a layer's weight has; returns the
            compressed one. It is called once for each tensor of a task, in every C step, and must
            return the same for the same weights.
        settings: Its other arguments, which may be left at their defaults: numbers, texts,
            booleans, tuples of them.

    Raises:
        SchemeError: not a function of a tensor, or not its arguments.
    """
    if function is None:
        return lambda decorated: scheme(decorated, **settings)
    if isinstance(function, FunctionScheme):
        before = {f.name: getattr(function, f.name) for f in dataclasses.fields(function)}
        return _make(type(function), before | settings)
    return _make(scheme_class(function), settings)


def scheme_class(function: Callable[..., Tensor]) -> type[FunctionScheme]:
    """Return the class of schemes of a function, always the same one.

    Raises:
        SchemeError: not a function of a tensor.
    """
    made: type[FunctionScheme] | None = getattr(function, "__dict__", {}).get(_CLASS)
    if made is None:
        made = _class(function)
        function.__dict__[_CLASS] = made
    return made


def _class(function: Callable[..., Tensor]) -> type[FunctionScheme]:
    if not inspect.isfunction(function):
        raise SchemeError(f"{function!r} is not a function: a scheme is made of a plain function")
    parameters = list(inspect.signature(function).parameters.values())
    others = parameters[1:]
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    name = f"{function.__module__}:{function.__qualname__}"
    if not parameters or parameters[0].kind in (*variadic, inspect.Parameter.KEYWORD_ONLY):
        raise SchemeError(f"{name} takes no tensor as its first argument")
    if any(p.kind in (*variadic, inspect.Parameter.POSITIONAL_ONLY) for p in others):
        raise SchemeError(f"{name}: the arguments after the tensor must have names")
    fields = [
        (p.name, _hint(p), dataclasses.field())
        if p.default is p.empty
        else (p.name, _hint(p), dataclasses.field(default=p.default))
        for p in sorted(others, key=lambda p: p.default is not p.empty)
    ]
    namespace = {
        "name": name,
        "function": staticmethod(function),
        "__module__": function.__module__,
        "__doc__": function.__doc__,
    }
    return dataclasses.make_dataclass(
        function.__name__, fields, bases=(FunctionScheme,), frozen=True, namespace=namespace
    )


def _hint(parameter: inspect.Parameter) -> Any:
    """Return what a field holds, as far as the grammar of search spaces needs to know."""
    if parameter.annotation in (int, "int"):
        return int
    given = parameter.default is not parameter.empty
    if parameter.annotation is parameter.empty and given and type(parameter.default) is int:
        return int
    return Any


def _make(cls: type[FunctionScheme], settings: dict[str, Any]) -> FunctionScheme:
    try:
        return cls(**settings)
    except TypeError as error:
        text = str(error).removeprefix(f"{cls.__name__}.__init__() ").removeprefix("__init__() ")
        raise SchemeError(f"{cls.name}: {text}") from None

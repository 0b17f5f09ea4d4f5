"""Models from outside the zoo: ``torchvision:NAME`` and ``module:factory``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autocompress.data import Data
from autocompress.errors import ModelError, unknown
from autocompress.outside import find

# these two answer with a tuple in training mode unless told not to
_TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def from_torchvision(name: str, classes: int) -> nn.Module:
    """Build one of torchvision's classification models with random weights.

    Args:
        name: As ``torchvision.models.list_models()`` gives it.
        classes: Number of classes.

    Raises:
        UnknownName: torchvision has no such classification model.
        ModelError: torchvision cannot build it.
    """
    from torchvision import models  # slow to import, and only needed here

    known = models.list_models(module=models)
    if name not in known:
        raise unknown("torchvision model", name, known)
    options = _TORCHVISION_OPTIONS.get(name, {})
    try:
        return models.get_model(name, weights=None, num_classes=classes, **options)  # type: ignore[no-any-return]
    except Exception as error:
        raise ModelError(
            f"torchvision cannot build {name!r}: {type(error).__name__}: {error}"
        ) from error


def from_factory(path: str, data: Data | None, seed: int) -> nn.Module:
    """Call a user's factory, or copy a user's module.

    Args:
        path: ``module:factory``, found on Python's path or in the current folder: a function or
            class taking the data (:class:`~autocompress.data.Data`) or nothing, or a ready
            ``nn.Module``.
        data: What to call it with, if it takes an argument.
        seed: Set as torch's global seed before the call; the caller restores the generator.

    Raises:
        ModelError: It cannot be imported, called, or does not give an ``nn.Module``.
    """
    factory = find(path, "model", ModelError, "module:factory")
    if isinstance(factory, nn.Module):
        return copy.deepcopy(factory)
    if not callable(factory):
        raise ModelError(f"model {path!r}: {type(factory).__name__} is not callable")
    takes_data = _takes_data(path, factory)
    if takes_data and data is None:
        raise ModelError(f"model {path!r}: its factory takes the data, and none was given")
    torch.manual_seed(seed)  # again: importing the module may have drawn numbers
    try:
        model = factory(data) if takes_data else factory()
    except Exception as error:  # whatever a user's code raises
        raise ModelError(f"model {path!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"model {path!r} gave {type(model).__name__}, not a torch.nn.Module")
    return model


def _takes_data(path: str, factory: Callable[..., Any]) -> bool:
    """Tell whether to call it with the data: one argument without default, or one named data."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # written in C
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    required = [p for p in parameters if p.default is p.empty and p.kind not in variadic]
    if len(required) > 1 or any(p.kind not in positional for p in required):
        wanted = ", ".join(p.name for p in required)
        raise ModelError(
            f"model {path!r}: its factory needs ({wanted}); it may take the data or nothing"
        )
    first_is_data = bool(parameters) and parameters[0].name == "data"
    return bool(required) or (first_is_data and parameters[0].kind in positional)

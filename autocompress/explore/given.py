"""Candidates of the user's own, tried before all others: plans put into the terms of a space."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from autocompress import yamlio
from autocompress.compression import Compression, Dense, to_dict
from autocompress.compression.base import Shapes, shapes_of
from autocompress.errors import AutocompressError, ConfigError
from autocompress.explore.choosers import Fixed
from autocompress.explore.inversion import Match, Misfit, difference, match
from autocompress.explore.ranks import ranked
from autocompress.explore.rules import Group
from autocompress.explore.schemes import Option
from autocompress.explore.seeding import Seed, dense_params
from autocompress.explore.sensible import Sensible, sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.layers import LayerInfo, find_layers
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate, Direct, Recipe

RECIPE = "recipe"
Given = str | Path | Mapping[str, Any]


def read_given(item: Given, where: str) -> tuple[dict[str, Any], str]:
    """Return a plan's YAML data, and what to call it in messages.

    Nothing is imported for it: another package's scheme is known if the space has it.

    Args:
        item: A file's path, or its content.
        where: What to call a content.

    Raises:
        ConfigError, SchemeError: it cannot be read.
    """
    if isinstance(item, Mapping):
        return dict(item), where
    return yamlio.load(item), os.fspath(item)


def given_seeds(space: SearchSpace, model: nn.Module, items: Iterable[Given]) -> list[Seed]:
    """Return plans as candidates of a space, to be tried first.

    A plan without a recipe gets a sensible one of the space. Values need not be written as the
    space writes them, as long as they come to the same: a rank may be a fraction there.

    Args:
        space: The space.
        model: The reference; only names and shapes of its parameters matter.
        items: Files of plans or candidates, or their content.

    Returns:
        Seeds of the origin ``"given"``, in the order of the items; one of several equal ones.

    Raises:
        ConfigError, SchemeError: a plan that cannot be read or does not fit model or space, naming
            file, layer, field, value and what the space accepts there.
    """
    found: dict[str, Seed] = {}
    for position, item in enumerate(items):
        data, where = read_given(item, f"seeds[{position}]")
        candidate = Candidate.from_dict(data, where=where)
        try:
            recipe = candidate.recipe if RECIPE in data else None
            seed = invert(space, model, candidate.plan, recipe)
        except AutocompressError as error:
            text = f"{where}: a seed plan that does not fit the space {space.name!r}: {error}"
            raise type(error)(text) from None
        found.setdefault(seed.candidate.digest(model), seed)
    return list(found.values())


def invert(space: SearchSpace, model: nn.Module, plan: Plan, recipe: Recipe | None) -> Seed:
    """Return a candidate of a space with its parameters.

    Args:
        space: The space.
        model: The reference.
        plan: The plan.
        recipe: The recipe; None for a sensible one.

    Raises:
        ConfigError: the space does not have it.
        PlanError: the plan does not fit the model.
    """
    layers = find_layers(model)
    by_weight = {layer.weight: layer for layer in layers}
    targets = [_target(task, model, by_weight) for task in plan.unbound().resolve(model).tasks]
    targets = [target for target in targets if not isinstance(target.canonical, Dense)]
    groups = space.groups(layers)
    grouped = {layer.name: group for group in groups for layer in group.layers}
    for target in targets:
        _check_place(target, grouped)
    params: dict[str, Any] = {}
    for group in groups:
        own = [target for target in targets if grouped[target.layers[0].name] is group]
        params |= _group_params(group, own, model)
    params |= sensible_recipe(space)[1] if recipe is None else _recipe_params(space, recipe)
    if broken := space.broken(params, layers):
        raise ConfigError(f"it breaks the constraint {broken[0]!r}")
    return Seed("given", params, space.sample(Fixed(params, Sensible()), layers))


@dataclass(frozen=True)
class _Target:
    """What a plan does with some layers."""

    task: Task
    layers: tuple[LayerInfo, ...]
    shapes: Shapes

    @property
    def canonical(self) -> Compression:
        return self.task.compression.canonical(self.shapes)

    @property
    def who(self) -> str:
        names = ", ".join(repr(layer.name or "model") for layer in self.layers)
        return f"layer{'s' if self.layers[1:] else ''} {names}"

    def __str__(self) -> str:
        return self.task.compression.describe()


def _target(task: Task, model: nn.Module, by_weight: Mapping[str, LayerInfo]) -> _Target:
    params = dict(model.named_parameters())
    shapes = shapes_of(tuple(params[name] for name in task.params))
    layers = tuple(by_weight[name] for name in task.params if name in by_weight)
    tied = {name for layer in layers for name in layer.channel_params}
    for name in task.params:
        if name not in by_weight and not (task.compression.structured and name in tied):
            raise ConfigError(f"parameter {name!r}: spaces compress the weights of layers only")
    return _Target(task, layers, shapes)


def _check_place(target: _Target, grouped: Mapping[str, Group]) -> None:
    """Raise unless the layers of a task may be one task of the space."""
    for layer in target.layers:
        if layer.name not in grouped:
            raise ConfigError(f"layer {layer.name!r}: {target}: no rule of the space is for it")
    groups = {grouped[layer.name].name: grouped[layer.name] for layer in target.layers}
    if len(groups) > 1 or (target.layers[1:] and not next(iter(groups.values())).joint):
        raise ConfigError(f"{target.who}: {target} jointly: the space compresses each by itself")


def _group_params(group: Group, targets: Sequence[_Target], model: nn.Module) -> dict[str, Any]:
    """Return the parameters with which a group comes to what a plan does with its layers."""
    wanted = _canonical([target.task for target in targets], model)
    nearest: tuple[_Target, Option, Match] | None = None
    if not targets and (dense := dense_params(group)) is not None:
        return dense
    for target in targets:
        for option in group.options:
            for found in _matches(group, option, target):
                if not found.foreign and _gives(group, option, found, wanted, model):
                    return found.params
                if nearest is None or found.distance < nearest[2].distance:
                    nearest = (target, option, found)
    raise ConfigError(_why(group, targets, nearest))


def _matches(group: Group, option: Option, target: _Target) -> Iterator[Match]:
    """Yield parameters of an option that may come to the task."""
    name = f"{group.name}.{option.label}"
    head = {f"{group.name}.scheme": option.label} if group.options[1:] else {}
    norm = match(option.weighting, target.task.weighting, f"{name}.weighting", "weighting")
    compression = target.task.compression
    for tree in ranked(to_dict(compression), compression, option.node, target.shapes):
        yield Match(head) | match(option.node, tree, name) | norm


def _gives(group: Group, option: Option, found: Match, wanted: list[Any], model: nn.Module) -> bool:
    chooser = Fixed(found.params, Sensible())
    try:
        tasks = group.tasks(option, *option.sample(chooser, f"{group.name}.{option.label}"))
    except AutocompressError:
        return False
    return _canonical(tasks, model) == wanted


def _canonical(tasks: Sequence[Task], model: nn.Module) -> list[Any]:
    data: list[Any] = Plan(tasks).canonical(model).to_dict()["tasks"]
    return data


def _why(
    group: Group, targets: Sequence[_Target], nearest: tuple[_Target, Option, Match] | None
) -> str:
    names = ", ".join(repr(layer.name or "model") for layer in group.layers)
    who = f"layer{'s' if group.layers[1:] else ''} {names}"
    offered = ", ".join(option.label for option in group.options)
    if nearest is None:
        return f"{who}: no compression: the space accepts {offered}"
    target, option, found = nearest
    if not found.misfits:
        together = "compressed jointly" if group.joint else "of one choice"
        each = "; ".join(f"{one.who}: {one}" for one in targets)
        if group.layers[1:]:
            return f"{who}: in the space they are {together}, and the plan has {each}"
        made = option.node.sample(Fixed(found.params, Sensible()), f"{group.name}.{option.label}")
        misfit = difference(to_dict(target.task.compression), made) or Misfit(
            "scheme", str(target), offered
        )
        return f"{target.who}: {misfit}"
    if found.foreign:
        return f"{target.who}: scheme = {target}: the space accepts {offered}"
    misfit = found.misfits[0]
    if misfit.value is None:  # said in another way, such as a rank for a share of it
        return f"{target.who}: {target}: the space takes a {misfit.path} of {misfit.accepted}"
    return f"{target.who}: {misfit}"


def _recipe_params(space: SearchSpace, recipe: Recipe) -> dict[str, Any]:
    """Return the parameters that give a recipe."""
    found = match(space.recipe.method, recipe.method, "recipe.method", "recipe.method")
    wanted = recipe.model_dump(mode="json")
    if not isinstance(recipe, Direct):
        found |= match(space.recipe.fields, {"regularizers": [], **wanted}, RECIPE, RECIPE)
    made = space.recipe.sample(Fixed(found.params, Sensible())).model_dump(mode="json")
    misfit = difference(wanted, made, RECIPE)
    if misfit is None:
        return found.params
    raise ConfigError(str(found.misfits[0] if found.misfits else misfit))

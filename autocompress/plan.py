"""What to compress, and how: tasks and plans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from autocompress.compression import Compression, Dense, from_dict, to_dict
from autocompress.compression.base import Facts, Shapes, shapes_of
from autocompress.errors import ConfigError, PlanError, SchemeError, unknown
from autocompress.facts import find_facts, joint_params
from autocompress.jsonform import digest_of, require_keys
from autocompress.layers import find_layers
from autocompress.parameters import match, with_channel_params

WEIGHTINGS = {
    "identity": "",
    "fisher": "diagonal",
    "activations": "diagonal",
    "covariance": "covariance",
}
"""Norms by name, and the kind of weighting that each is."""


@dataclass(frozen=True)
class Task:
    """One compression of one or several parameters, jointly.

    Attributes:
        name: How messages and reports call it; unique in its plan.
        params: Exact parameter names, or patterns (``*``, ``?``, ``[]``; a leading ``!`` takes
            matches away). A pattern matches weights and biases of linear and convolutional layers
            only; anything else (a batch norm's scale, say) must be named exactly.
        compression: The scheme.
        weighting: The norm of its C step: ``"identity"``, or one measured on training data:
            ``"fisher"`` (mean squared gradient of each weight), ``"activations"`` (mean square of
            each weight's input), ``"covariance"`` (of a layer's inputs, for low rank). See
            :mod:`autocompress.calibration`.
    """

    name: str
    params: tuple[str, ...]
    compression: Compression
    weighting: str = "identity"

    def __init__(
        self,
        name: str,
        params: Iterable[str] | str,
        compression: Compression,
        weighting: str = "identity",
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "weighting", weighting)
        patterns = (params,) if isinstance(params, str) else tuple(params)
        object.__setattr__(self, "params", patterns)
        object.__setattr__(self, "compression", compression)
        if not isinstance(compression, Compression):
            raise PlanError(f"task {name!r}: {compression!r} is not a compression scheme")
        if not patterns:
            raise PlanError(f"task {name!r} names no parameters")
        if weighting not in WEIGHTINGS:
            raise unknown("weighting", weighting, WEIGHTINGS, where=f"task {name!r}")
        kind = WEIGHTINGS[weighting]
        if kind and kind not in compression.weightings:
            taken = [name for name, k in WEIGHTINGS.items() if not k or k in compression.weightings]
            raise PlanError(
                f"task {name!r}: {compression.name} has no C step under the weighting "
                f"{weighting!r}; it takes {', '.join(taken)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        compression = to_dict(self.compression)
        data = {"name": self.name, "params": list(self.params), "compression": compression}
        return data if self.weighting == "identity" else data | {"weighting": self.weighting}


@dataclass(frozen=True)
class Plan:
    """Tasks on disjoint parameters. Parameters in no task stay as they are."""

    tasks: tuple[Task, ...]

    def __init__(self, tasks: Iterable[Task]) -> None:
        object.__setattr__(self, "tasks", tuple(tasks))
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise PlanError(f"two tasks are called {name!r}: names must be unique")

    def resolve(self, model: nn.Module, example: Tensor | None = None) -> Plan:
        """Return the plan with exact parameter names, checked against a model.

        Structured schemes also take the vectors tied to their layers' output channels; with an
        example, those of batch norms after concatenations and additions too.

        Args:
            model: The model.
            example: An input batch. With it, schemes that need to know more of the model (the
                cost of a rank in FLOPs, channels tied by a residual addition) are told.

        Raises:
            PlanError: a pattern that matches no parameter, two tasks on one parameter, a scheme
                that cannot apply to its layers, or channels pruned off the model's output.
        """
        params = dict(model.named_parameters())
        layers = find_layers(model)
        owner: dict[str, str] = {}
        resolved = []
        for task in self.tasks:
            who = f"task {task.name!r}"
            own = len(task.params) - len(task.compression.joined)
            names = match(task.params[:own], model, who)
            if task.compression.structured:
                names = with_channel_params(names, layers, who) + task.params[own:]
            for name in names:
                if name in owner:
                    raise PlanError(
                        f"parameter {name!r} is in two tasks, {owner[name]!r} and {task.name!r}: "
                        f"give it to one, or use one Compose or Additive"
                    )
                owner[name] = task.name
            try:
                task.compression.check(shapes_of(tuple(params[name] for name in names)))
            except SchemeError as error:
                raise PlanError(told(replace_params(task, names), str(error))) from None
            resolved.append(replace_params(task, names))
        return Plan(resolved if example is None else _bound(resolved, model, example))

    def unbound(self) -> Plan:
        """Return the plan without what :meth:`resolve` told its schemes of the model."""
        return Plan(map(_unbound, self.tasks))

    def stored(self) -> Plan:
        """Return the plan as packed files hold it: unbound, with the parameters of the codes."""
        return Plan(map(_stored, self.tasks))

    def remarks(self, model: nn.Module) -> list[str]:
        """Return what a user should know: ranks above the full one, which change nothing."""
        params = dict(model.named_parameters())
        remarks = []
        for task in self.resolve(model).tasks:
            remark = task.compression.remark(shapes_of(tuple(params[n] for n in task.params)))
            if remark:
                remarks.append(told(task, remark))
        return remarks

    def canonical(self, model: nn.Module) -> Plan:
        """Return the plan with what changes nothing taken out: the same for equivalent plans."""
        params = dict(model.named_parameters())
        tasks = []
        for task in self.unbound().resolve(model).tasks:
            shapes: Shapes = shapes_of(tuple(params[name] for name in task.params))
            compression = task.compression.canonical(shapes)
            if not isinstance(compression, Dense):
                # a canonical scheme may be one that no norm changes anything for
                kind = WEIGHTINGS[task.weighting]
                weighting = task.weighting if kind in compression.weightings else "identity"
                tasks.append(Task(",".join(task.params), task.params, compression, weighting))
        return Plan(sorted(tasks, key=lambda task: task.name))

    def digest(self, model: nn.Module) -> str:
        """Return 16 hex digits that are equal for plans equal modulo symmetry."""
        return digest_of(self.canonical(model).to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"tasks": [task.to_dict() for task in self.tasks]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "plan") -> Self:
        """Build a plan from its JSON form.

        Raises:
            ConfigError, SchemeError: naming file, key and what would be accepted.
        """
        require_keys(data, {"tasks"}, where)
        tasks = data["tasks"]
        if not isinstance(tasks, Sequence) or isinstance(tasks, str):
            raise ConfigError(f"{where}.tasks: expected a list of tasks, not {tasks!r}")
        return cls(_task(item, f"{where}.tasks[{i}]") for i, item in enumerate(tasks))

    def __str__(self) -> str:
        if not self.tasks:
            return "dense"
        return "; ".join(f"{task.name}: {task.compression.describe()}" for task in self.tasks)


def told(task: Task, message: str) -> str:
    """Return what a task's scheme says of its tensors, with the parameters' names.

    Args:
        task: The task, with exact names.
        message: Of ``check``, ``remark`` or ``project``; it calls them "tensor 0", "tensor 1" ….
    """
    names = {f"tensor {position}": name for position, name in enumerate(task.params)}
    named = re.sub(r"\btensor \d+\b", lambda found: names.get(found[0], found[0]), message)
    of = f"task {task.name!r}"
    where = of if named != message else f"{of} on {', '.join(task.params)}"
    scheme = task.compression.name
    return f"{where}: {named if scheme in named else f'{scheme}: {named}'}"


def replace_params(task: Task, names: Iterable[str]) -> Task:
    """Return the task on other parameters."""
    return Task(task.name, tuple(names), task.compression, task.weighting)


def _bound(tasks: list[Task], model: nn.Module, example: Tensor) -> list[Task]:
    """Tell the schemes that ask for it what the model is like."""
    needs = frozenset[str]().union(*(task.compression.needs for task in tasks))
    if not needs:
        return tasks
    facts = find_facts(model, example, needs)
    tasks = [_unbound(task) for task in tasks]
    taken = {name for task in tasks for name in task.params}
    bound = []
    for task in tasks:
        params = task.params
        if "norms" in task.compression.needs:
            joined = joint_params(params, facts)
            params += tuple(name for name in joined if name not in taken)
            taken.update(params)
        scheme = task.compression.bind([facts.get(name, Facts()) for name in params])
        bound.append(Task(task.name, params, scheme, task.weighting))
    return bound


def _unbound(task: Task) -> Task:
    """Return the task without what binding added."""
    own = len(task.params) - len(task.compression.joined)
    return Task(task.name, task.params[:own], task.compression.unbound(), task.weighting)


def _stored(task: Task) -> Task:
    scheme = task.compression.unbound()
    if task.compression.joined:
        places = range(len(task.params))
        scheme = scheme.bind([Facts(joint=p in task.compression.joined) for p in places])
    return Task(task.name, task.params, scheme, task.weighting)


def _task(item: Any, where: str) -> Task:
    require_keys(item, {"name", "params", "compression"}, where, ("weighting",))
    try:
        compression = from_dict(item["compression"], where=f"{where}.compression")
    except SchemeError as error:
        names = item["params"] if isinstance(item["params"], str) else ", ".join(item["params"])
        raise SchemeError(f"task {item['name']!r} on {names}: {error}") from None
    weighting = item.get("weighting", "identity")
    return Task(str(item["name"]), item["params"], compression, weighting)

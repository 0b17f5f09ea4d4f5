"""The search space: what candidates there are for a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

from autocompress import catalog, yamlio
from autocompress.compression import Compression
from autocompress.compression.extension import extensions
from autocompress.errors import ConfigError
from autocompress.explore.constraints import Checker, Constraint, parse_constraints
from autocompress.explore.grammar import parse
from autocompress.explore.parameters import find_parameters, recipe_parameters
from autocompress.explore.ranges import Choice, Chooser, Constant, Node, Record
from autocompress.explore.rules import Group, Layers, Rule, make_groups
from autocompress.jsonform import require_keys
from autocompress.plan import Plan, Task
from autocompress.recipe import (
    LC,
    SGD,
    Adam,
    Candidate,
    Direct,
    MuSchedule,
    Recipe,
    recipe_from_dict,
)
from autocompress.regularizers import REGULARIZERS
from autocompress.settings import Settings


def _whole(annotation: Any) -> bool:
    """Whether a settings field holds integers (and perhaps a word or None, but no fractions)."""
    args = get_args(annotation)
    parts = [part for arg in args for part in (get_args(arg) or (arg,))] if args else [annotation]
    return int in parts and float not in parts


_SETTINGS: tuple[type[Settings], ...] = (LC, MuSchedule, SGD, Adam, *REGULARIZERS.values())
_INTEGERS = {
    name
    for settings in _SETTINGS
    for name, info in settings.model_fields.items()
    if _whole(info.annotation)
}


@dataclass(frozen=True)
class RecipeSpace:
    """The recipes of a search space: a method, and the fields of ``LC`` with ranges.

    Attributes:
        method: ``"lc"``, ``"direct"`` or a choice of both.
        fields: What is given to ``LC``; not sampled for ``"direct"``.
    """

    method: Node = field(default_factory=lambda: Constant("lc"))
    fields: Record = field(default_factory=lambda: Record(()))

    def sample(self, chooser: Chooser) -> Recipe:
        """Draw a recipe; parameters are called ``"recipe.mu.start"`` and so on."""
        values = self.draw(chooser)
        return Direct() if values is None else recipe_from_dict(values)

    def draw(self, chooser: Chooser) -> dict[str, Any] | None:
        """Draw the fields of a recipe; None for direct compression."""
        if self.method.sample(chooser, "recipe.method") == "direct":
            return None
        return self.fields.sample(chooser, "recipe")

    def to_dict(self) -> dict[str, Any]:
        """Return the YAML data of this part."""
        return {"method": self.method.to_data(), **self.fields.to_data()}

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "recipe") -> Self:
        """Build the recipes from YAML data, trying both ends of every range.

        Raises:
            ConfigError: naming file, key, value and what is accepted.
        """
        if isinstance(data, (LC, Direct)):
            data = data.model_dump(mode="json")
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where}: expected a mapping of recipe fields, not {data!r}")
        method = parse(data.get("method", "lc"), f"{where}.method")
        rest = {key: value for key, value in data.items() if key != "method"}
        fields = Record(
            tuple((k, parse(v, f"{where}.{k}", integers=_INTEGERS, key=k)) for k, v in rest.items())
        )
        for name in method.corners():
            shared = isinstance(method, Choice) and name == "direct"
            for corner in Record(()).corners() if shared else fields.corners():
                recipe_from_dict({**corner, "method": name}, where=where)
        return cls(method, fields)


@dataclass(frozen=True)
class SearchSpace:
    """Layers, the schemes offered to them, and the recipes.

    Attributes:
        name: How reports call it.
        rules: Each layer takes the first rule that is for it; layers without one stay dense.
        recipe: The recipes.
        doc: One sentence for ``autocompress list spaces``.
        source: The file it was read from, for error messages.
        constraints: What candidates must keep besides: texts such as ``"a.k <= b.k"``.
    """

    name: str
    rules: tuple[Rule, ...]
    recipe: RecipeSpace
    doc: str = ""
    constraints: tuple[Constraint, ...] = ()
    source: str = field(default="", compare=False)

    def __init__(
        self,
        name: str,
        rules: Iterable[Rule],
        recipe: RecipeSpace | Recipe | Mapping[str, Any] | None = None,
        doc: str = "",
        source: str = "",
        constraints: Sequence[str | Constraint] = (),
    ) -> None:
        prefix = f"{source}: " if source else ""
        where = f"{prefix}recipe"
        if not isinstance(recipe, RecipeSpace):
            recipe = RecipeSpace.from_dict({} if recipe is None else recipe, where=where)
        fields = {"name": name, "rules": tuple(rules), "recipe": recipe, "doc": doc}
        fields["constraints"] = parse_constraints(constraints, f"{prefix}constraints")
        for key, value in (fields | {"source": source}).items():
            object.__setattr__(self, key, value)
        if not self.rules:
            raise ConfigError(
                f"{source or 'search space'}: at least one rule is needed in 'layers'"
            )

    def groups(self, layers: Layers) -> tuple[Group, ...]:
        """Return which layers of a model choose together, and what from.

        Raises:
            ConfigError: the space does not fit the model.
        """
        return make_groups(self.rules, layers, self.source)

    def sample(self, chooser: Chooser, layers: Layers) -> Candidate:
        """Draw a candidate for a model.

        Args:
            chooser: Who decides: an Optuna trial, or anything with its ``suggest_`` methods.
            layers: The model's layers, see :func:`autocompress.layers.find_layers`.

        Raises:
            ConfigError, SchemeError: the space does not fit the model.
        """
        tasks: list[Task] = []
        for group in self.groups(layers):
            tasks += group.sample(chooser)
        return Candidate(Plan(tasks), self.recipe.sample(chooser))

    def check(self, layers: Layers) -> None:
        """Raise unless every candidate of the space is possible on a model.

        Raises:
            ConfigError, SchemeError: naming file, key, value and what is accepted.
        """
        for group in self.groups(layers):
            for option in group.options:
                for values, weighting in option.corners():
                    group.tasks(option, values, weighting)
        self.checker(layers)

    def checker(self, layers: Layers) -> Checker:
        """Return who tells whether a candidate's parameters keep the constraints on a model.

        Raises:
            ConfigError: a constraint on something no candidate has.
        """
        if not self.constraints:
            return Checker(())
        recipe = recipe_parameters(self.recipe.method, self.recipe.fields)
        return Checker(self.constraints, find_parameters(self.groups(layers), recipe))

    def broken(self, params: Mapping[str, Any], layers: Layers) -> list[str]:
        """Return the constraints that parameters break; to ask often, keep a :meth:`checker`."""
        return self.checker(layers).broken(params)

    def extensions(self) -> tuple[type[Compression], ...]:
        """Return the schemes of other packages that candidates may have."""
        names = extensions.names_in(self.to_dict()["layers"])
        found = [extensions.find(name) for name in dict.fromkeys(names)]
        return tuple(cls for cls in found if cls is not None)

    def weights(self, layers: Layers) -> dict[str, dict[str, float]]:
        """Return the probabilities of unequally weighted options, by parameter name.

        They are prior probabilities: random draws follow them (all draws of the random sampler,
        the first trials and the mutations of the others); from then on the sampler goes by
        results.
        """
        weights = {f"{group.name}.scheme": group.weights for group in self.groups(layers)}
        return {name: found for name, found in weights.items() if found}

    def to_dict(self) -> dict[str, Any]:
        """Return the whole space as JSON data, defaults included."""
        layers = [rule.to_dict() for rule in self.rules]
        constraints = [constraint.text for constraint in self.constraints]
        return {
            "name": self.name,
            "doc": self.doc,
            "layers": layers,
            "recipe": self.recipe.to_dict(),
            **({"constraints": constraints} if constraints else {}),
        }

    @classmethod
    def from_dict(cls, data: Any, *, source: str = "") -> Self:
        """Build a space from YAML data: ``layers``, and perhaps the other keys of :meth:`to_dict`.

        Raises:
            ConfigError, SchemeError: naming file, key, value and what is accepted.
        """
        optional = ("name", "doc", "recipe", "constraints")
        require_keys(data, {"layers"}, source or "search space", optional)
        layers = data["layers"]
        prefix = f"{source}: " if source else ""
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            raise ConfigError(f"{prefix}layers = {layers!r}: accepted is a list of rules")
        rules = [
            Rule.from_dict(item, where=f"{prefix}layers[{i}]") for i, item in enumerate(layers)
        ]
        name, doc = str(data.get("name", "custom")), str(data.get("doc", ""))
        return cls(name, rules, data.get("recipe"), doc, source, data.get("constraints", ()))

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read a space from a YAML file, given by path or by the name of a ready-made one.

        Schemes of other packages that it names (``module:Class``) are imported.

        Raises:
            ConfigError, SchemeError: naming file, key, value and what is accepted.
        """
        path = catalog.find(catalog.SPACES, name)
        data = yamlio.load(path)
        extensions.allow_in(data, where=str(path))
        return cls.from_dict({"name": path.stem, **data}, source=str(path))

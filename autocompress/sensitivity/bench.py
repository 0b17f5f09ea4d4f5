"""Direct compression of a few layers, tried out on validation examples."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from autocompress.api import compress
from autocompress.calibration import KINDS, Statistics, calibrate
from autocompress.data import Data
from autocompress.errors import DataError, SchemeError
from autocompress.evaluation import Evaluation, Loss, evaluate
from autocompress.jsonform import digest_of
from autocompress.layers import find_layers
from autocompress.lc import Trainer, auto_mu, swapped
from autocompress.lc.budget import epochs
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, MuSchedule

BATCH = 1024


@dataclass(frozen=True)
class Result:
    """What a compression does.

    Attributes:
        loss: Validation loss; infinite where it is not finite.
        accuracy: Validation accuracy, a fraction.
        bits: Bits of the codes.
        params: The parameters they are of.
    """

    loss: float
    accuracy: float
    bits: int
    params: frozenset[str]


class Bench:
    """A model and a fixed subset of its validation examples.

    Args:
        model: The reference; left untouched.
        data: The data; the test split is not read.
        samples: How many validation examples are used; all, if there are fewer.
        loss: Mean loss.

    Raises:
        DataError: there are no validation examples.
    """

    def __init__(
        self, model: nn.Module, data: Data, *, samples: int, loss: Loss = F.cross_entropy
    ) -> None:
        if len(data.val) == 0:
            raise DataError("sensitivity needs validation examples, and the split has none")
        self.model = copy.deepcopy(model).eval()
        self.data = data
        self.samples = min(samples, len(data.val))
        self._split = data.val if samples >= len(data.val) else data.val.subset(samples)
        self._loss = loss
        self._params = dict(self.model.named_parameters())
        self._statistics = Statistics({})
        self._example = data.example()
        self._mu = _last_mu(data)
        self._decoded: dict[str, tuple[dict[str, Tensor], int]] = {}
        self._results: dict[str, Result] = {}

    def calibrate(self, plans: Iterable[Iterable[Task]]) -> None:
        """Measure, or find in the cache, what the plans' weightings are made of."""
        needs: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for tasks in plans:
            for task in tasks:
                if task.weighting != "identity":
                    (bound,) = Plan([task]).resolve(self.model, self._example).tasks
                    needs[task.weighting] += bound.params
        needs = {kind: list(dict.fromkeys(names)) for kind, names in needs.items() if names}
        if needs:
            self._statistics = calibrate(self.model, needs, self.data, loss=self._loss)

    def reference(self) -> Evaluation:
        """Evaluate the uncompressed model."""
        return evaluate(self.model, self._split, BATCH, self._loss)

    def direct(self, tasks: Iterable[Task]) -> Result:
        """Compress some layers directly, and evaluate.

        Each task is projected once and each plan evaluated once, however often they are asked for.
        """
        plan = Plan(tasks).resolve(self.model)
        key = digest_of(plan.to_dict())
        if key not in self._results:
            decoded: dict[str, Tensor] = {}
            bits = 0
            for task in plan.tasks:
                values, own = self._project(task)
                decoded |= values
                bits += own
            with swapped(self._params, decoded):
                found = self.reference()
            loss = found.loss if math.isfinite(found.loss) else math.inf
            self._results[key] = Result(loss, found.accuracy, bits, frozenset(decoded))
        return self._results[key]

    def after(self, tasks: Iterable[Task], steps: int) -> Evaluation:
        """Compress some layers with a few L-C steps on as many training examples, and evaluate."""
        train = self.data.train
        part = train if self.samples >= len(train) else train.subset(self.samples)
        data = dataclasses.replace(self.data, train=part, val=self._split)
        recipe = LC(mu=MuSchedule(steps=steps))
        found = compress(
            self.model,
            Plan(tasks),
            recipe,
            data,
            loss=self._loss,
            statistics=self._statistics if self._statistics.values else None,
        )
        return evaluate(found.model, self._split, BATCH, self._loss)

    def bits_of(self, params: Iterable[str]) -> int:
        """Return the bits of parameters as they are."""
        tensors = (self._params[name] for name in params)
        return sum(8 * t.numel() * t.element_size() for t in tensors)

    def all_bits(self) -> int:
        """Return the bits of the whole uncompressed model, buffers included."""
        return sum(8 * t.numel() * t.element_size() for t in self.model.state_dict().values())

    def forget(self) -> None:
        """Let go of decoded weights; results are kept."""
        self._decoded.clear()

    def _project(self, task: Task) -> tuple[dict[str, Tensor], int]:
        key = digest_of(task.to_dict())
        if key not in self._decoded:
            (bound,) = Plan([task]).resolve(self.model, self._example).tasks
            weights = tuple(self._params[name].detach() for name in bound.params)
            weighting = self._statistics.weighting(bound, self.model)
            try:
                code = bound.compression.project(weights, mu=self._mu, weighting=weighting)
            except SchemeError as error:
                raise SchemeError(f"task {task.name!r}: {error}") from None
            values = dict(zip(bound.params, code.decode(), strict=True))
            self._decoded[key] = values, code.bits()
        return self._decoded[key]


def channel_params(model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    """Return the vectors tied to each layer's output channels, by the name of its weight."""
    return {layer.weight: layer.channel_params for layer in find_layers(model)}


def _last_mu(data: Data) -> float:
    """Return the mu at which a run with the default recipe ends.

    Only penalized schemes depend on it: this is where they show what they will come to.
    """
    recipe = LC()
    trainer = Trainer(data, recipe, 0, F.cross_entropy)
    iterations = trainer.iterations(epochs(recipe, 1, trainer.iterations(1)))
    problem = auto_mu.Problem(distance=0.0, loss_increase=0.0, iterations=iterations)
    return auto_mu.resolve(recipe, problem).at(recipe.mu.steps - 1)

"""One plan, no search: `compress`."""

from __future__ import annotations

import hashlib
import warnings
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from autocompress import lc, models
from autocompress.calibration import Statistics, calibrate
from autocompress.compressed import Compressed, assemble, decode
from autocompress.data import Data
from autocompress.digests import raw
from autocompress.errors import AutocompressWarning, ModelError
from autocompress.evaluation import Loss
from autocompress.jsonform import digest_of
from autocompress.lc.loop import OnStep
from autocompress.lc.regularizers import bind
from autocompress.plan import Plan
from autocompress.recipe import LC, Recipe
from autocompress.storage import checkpoint as checkpoints


def compress(
    model: nn.Module,
    plan: Plan,
    recipe: Recipe | None = None,
    data: Data | None = None,
    *,
    on_step: OnStep | None = None,
    seed: int = 0,
    checkpoint: str | PathLike[str] | None = None,
    retell: OnStep | None = None,
    loss: Loss = F.cross_entropy,
    statistics: Statistics | None = None,
    warm: lc.Warm | None = None,
) -> Compressed:
    """Compress a model with the Learning-Compression algorithm.

    Args:
        model: The trained reference; left untouched.
        plan: Which parameters to compress, and how.
        recipe: How accuracy is recovered; default ``LC()``.
        data: Data to train and validate on; the test split is not used.
        on_step: Called with every :class:`~autocompress.lc.StepRecord`; returning True stops.
        seed: Fixes the order of the minibatches and dropout.
        checkpoint: Where the state is saved after each step. If it exists, the run it belongs to
            is continued from it, bit for bit as if it had never stopped.
        retell: Called first for the steps that lie behind then; True for any stops there.
        loss: Mean loss of outputs ``(batch, classes)`` and labels ``(batch,)``.
        statistics: What the plan's weightings are made of, measured beforehand by
            :func:`~autocompress.calibration.calibrate`; None measures it on 2048 training
            examples, or takes it from the cache.
        warm: Start from the end of a run on a plan alike, see :mod:`autocompress.lc.warm`.

    Returns:
        The compressed model of the step with the best validation accuracy.

    Raises:
        PlanError: the plan does not fit the model.
        ModelError: the model does not accept the data's inputs, no data are given, what a
            weighting needs cannot be measured, or the warm start is of another model.
        DataError: the training data a weighting is measured on are empty or not finite.
        PackedFileError: the checkpoint is damaged, or of another run.
    """
    if data is None:
        raise ModelError(
            "compress() needs data to validate on: ac.compress(model, plan, recipe, data)"
        )
    recipe = LC() if recipe is None else recipe
    example = data.example()
    plan.resolve(model)  # a plan that does not fit the model is told before anything runs
    models.check(model, data)
    resolved = plan.resolve(model, example)
    if isinstance(recipe, LC):
        bind(model, recipe.regularizers)  # patterns that match nothing are told now
    for remark in resolved.remarks(model):
        warnings.warn(remark, AutocompressWarning, stacklevel=2)
    measured = calibrate(model, resolved, data, loss=loss) if statistics is None else statistics
    weightings = measured.weightings(resolved, model)
    learner = lc.Trainer(data, recipe if isinstance(recipe, LC) else LC(), seed, loss)
    state, on_state = None, None
    if checkpoint is not None:
        path = Path(checkpoint)
        parts: dict[str, object] = {
            "model": _weights_digest(model),
            "plan": resolved.to_dict(),
            "recipe": recipe.model_dump(mode="json"),
            "data": data.digest,
            "seed": seed,
        }
        if statistics is not None:
            parts["statistics"] = dict(statistics.settings)
        if warm is not None:
            parts["warm"] = warm.digest()
        identity = digest_of(parts)
        state = checkpoints.load(path, identity) if path.exists() else None

        def on_state(state: lc.State) -> None:
            checkpoints.save(path, state, identity)

    with torch.random.fork_rng(devices=_cuda_devices(model)):
        torch.manual_seed(seed)
        solution = lc.run(
            model,
            resolved,
            recipe,
            learner,
            on_step=on_step,
            state=state,
            retell=retell,
            on_state=on_state,
            weightings=weightings,
            warm=warm,
        )
    best = solution.best
    result = assemble(model, decode(resolved, best.codes), best.rest, source="compress")
    return Compressed(
        model=result,
        codes=best.codes,
        plan=resolved,
        recipe=recipe,
        history=list(solution.history),
        status=solution.status,
        best_step=best.record.step,
        example=example,
    )


def _weights_digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(raw(tensor))
    return digest.hexdigest()


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})

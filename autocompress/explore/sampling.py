"""Optuna samplers whose suggestions depend on the seed and the stored trials alone."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from autocompress.errors import unknown
from autocompress.explore.strategy import GUIDED

SAMPLERS = ("auto", GUIDED, "tpe", "nsga2", "nsga3", "gp", "random", "qmc")

Make = Callable[[int], BaseSampler]


def derive_seed(seed: int, *parts: int | str) -> int:
    """Return a seed in [0, 2³¹) that depends on ``seed`` and on all of ``parts``."""
    text = json.dumps([seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def make_sampler(
    name: str,
    *,
    seed: int,
    trials: int,
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> BaseSampler:
    """Return a multi-objective sampler of Optuna.

    - ``tpe``: tree-structured Parzen estimator; parameters that always come together are drawn
      jointly, and running trials count as bad ones so that parallel trials differ.
    - ``nsga2``, ``nsga3``: evolution; crosses the parameters every candidate has, draws the others
      anew. The third spreads over many objectives.
    - ``gp``: Gaussian process on the parameters every candidate has, the others at random; slow.
    - ``random``: independent draws.
    - ``guided``, ``qmc``: what is behind :class:`~autocompress.explore.proposals.guided.Guided`,
      which asks only while there are too few trials to learn from (``tpe``), and behind
      :class:`~autocompress.explore.proposals.sobol.Sobol` (``random``).
    - ``auto``: ``guided``; a study knows better, see :func:`autocompress.explore.strategy.choose`.

    Args:
        name: One of the above.
        seed: Seed of the sweep.
        trials: How many trials are planned.
        weights: Prior probabilities of choices, see ``SearchSpace.weights``.

    Raises:
        UnknownName: there is no such sampler.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    startup = max(6, min(20, trials // 5))
    makers: dict[str, Make] = {
        "tpe": lambda s: optuna.samplers.TPESampler(
            seed=s, multivariate=True, constant_liar=True, n_startup_trials=startup
        ),
        "nsga2": lambda s: optuna.samplers.NSGAIISampler(
            seed=s, population_size=max(8, min(50, trials // 5))
        ),
        "nsga3": lambda s: _nsga3(seed=s, population_size=max(8, min(50, trials // 5))),
        "gp": lambda s: optuna.samplers.GPSampler(
            seed=s, n_startup_trials=startup, warn_independent_sampling=False
        ),
        "random": lambda s: optuna.samplers.RandomSampler(seed=s),
        "qmc": lambda s: optuna.samplers.RandomSampler(seed=s),
    }
    if name in ("auto", "tpe", GUIDED):
        return _PerGroup(makers["tpe"], seed, weights or {}, startup)
    return _PerTrial(makers[name], seed, weights or {})


def _nsga3(**settings: Any) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.NSGAIIISampler(**settings)


class _PerTrial(BaseSampler):
    """Another sampler, built anew for each trial and for each parameter drawn by itself.

    Optuna's samplers carry a random state, and caches, from trial to trial in memory. Seeded by
    (seed, trial) and (seed, trial, parameter) instead, a resumed study goes on exactly as if it
    had never stopped. It also gives choices their prior probabilities where the inner sampler
    draws blindly.
    """

    def __init__(
        self, make: Make, seed: int, weights: Mapping[str, Mapping[str, float]], learns: int = 0
    ) -> None:
        self._make = make
        self._seed = seed
        self._weights = weights
        self._learns = learns  # finished trials from which on single draws are not blind; 0: never
        self._inner: BaseSampler | None = None

    def _build(self, *parts: int | str) -> BaseSampler:
        return self._make(derive_seed(self._seed, *parts))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._inner = self._build(trial.number)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        assert self._inner is not None
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        assert self._inner is not None
        if isinstance(self._inner, optuna.samplers.NSGAIISampler):
            # computes the parents the first time, in another order than it gives them afterwards
            generation = self._inner.get_trial_generation(study, trial)
            self._inner.get_parent_population(study, generation)
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        weights = self._weights.get(param_name)
        if weights and self._blind(study):
            assert isinstance(param_distribution, CategoricalDistribution)
            choices = param_distribution.choices
            priors = np.array([weights[str(choice)] for choice in choices])
            rng = np.random.default_rng(derive_seed(self._seed, trial.number, param_name))
            return choices[int(rng.choice(len(choices), p=priors / priors.sum()))]
        inner = self._build(trial.number, param_name)
        return inner.sample_independent(study, trial, param_name, param_distribution)

    def _blind(self, study: optuna.Study) -> bool:
        return not self._learns or len(_seen(study)) < self._learns

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        if self._inner is not None:
            self._inner.after_trial(study, trial, state, values)


class _PerGroup(_PerTrial):
    """The same, drawing parameters jointly that every trial so far had all of or none of.

    That is what Optuna's ``TPESampler(group=True)`` does, except that it draws the parameters of
    all groups in every trial. Here a group is drawn when one of its parameters is asked for: with
    six schemes to choose from, five sixths of them never are.
    """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        self._groups: dict[str, dict[str, BaseDistribution]] | None = None
        self._drawn: dict[str, Any] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if self._groups is None:
            self._groups = _groups(_seen(study))
        group = self._groups.get(param_name, {})
        if param_name not in self._drawn and group.get(param_name) == param_distribution:
            inner = self._build(trial.number, min(group))
            self._drawn |= inner.sample_relative(study, trial, group)
        if param_name in self._drawn:
            return self._drawn[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


def _seen(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _groups(trials: Sequence[FrozenTrial]) -> dict[str, dict[str, BaseDistribution]]:
    """Return, for each parameter, those that were in exactly the same trials, itself included."""
    present: dict[str, int] = {}
    found: dict[str, BaseDistribution] = {}
    for position, trial in enumerate(trials):
        for name, distribution in trial.distributions.items():
            if not distribution.single():
                present[name] = present.get(name, 0) | 1 << position
                found[name] = distribution
    groups: dict[int, dict[str, BaseDistribution]] = {}
    for name in sorted(present):
        groups.setdefault(present[name], {})[name] = found[name]
    return {name: groups[mask] for name, mask in present.items()}

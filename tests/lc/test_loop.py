"""The L-C loop: against a hand-written reference, on real data, stopped and continued."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from autocompress import lc
from autocompress.compression import Additive, Codebook, Compose, LowRank, Prune
from autocompress.data import Data
from autocompress.lc import Evaluation, LStep, Penalty, State, StepRecord
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, SGD, Adam, Direct, MuSchedule

QUICK = LC(
    mu=MuSchedule(start=1e-2, factor=1.5, steps=5),
    epochs_per_step=1,
    optimizer=SGD(lr=0.05),
    batch_size=64,
)
PRUNE = Plan([Task("all", ["*.weight"], Prune(density=0.1))])


class ExactLearner:
    """L(w) = ½‖w − a‖², whose L step has a closed form."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.penalties: list[Penalty] = []

    def learn(self, model: nn.Module, penalty: Penalty, budget: LStep) -> float:
        (weight,) = model.parameters()
        weight.grad = None
        with torch.no_grad():
            weight.copy_(torch.zeros_like(weight))
            penalty.add_grad()  # at w = 0 the gradient is −(mu Δ + λ)
            pull = -weight.grad if weight.grad is not None else torch.zeros_like(weight)
            weight.copy_((self.target + pull) / (1 + budget.mu))
        return float((weight.detach() - self.target).square().sum() / 2)

    def validate(self, model: nn.Module) -> Evaluation:
        (weight,) = model.parameters()
        return Evaluation(float((weight.detach() - self.target).square().sum() / 2), 0.0, 1)

    def sample_loss(self, model: nn.Module) -> float:
        return self.validate(model).loss

    def iterations(self, epochs: int) -> int:
        return epochs

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        assert not state


@pytest.mark.parametrize("penalty", ["augmented-lagrangian", "quadratic"])
def test_trajectory_equals_the_textbook_algorithm(penalty: str) -> None:
    target = torch.tensor([[3.0, -2.0, 1.0, 0.5, -0.1, 0.05]])
    model = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(target)
    steps, start, factor, keep = 6, 0.1, 2.0, 3
    recipe = LC(
        mu=MuSchedule(start=start, factor=factor, steps=steps), penalty=penalty, tolerance=0.0
    )
    plan = Plan([Task("w", ["weight"], Prune(density=keep / 6))])
    solution = lc.run(model, plan, recipe, ExactLearner(target))

    def project(v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        top = v.abs().flatten().argsort(descending=True)[:keep]
        out.view(-1)[top] = v.flatten()[top]
        return out

    w, lam = target.clone(), torch.zeros_like(target)
    delta = project(w)
    for j, record in enumerate(solution.history[1:]):
        mu = start * factor**j
        w = (target + mu * delta + lam) / (1 + mu)
        delta = project(w - lam / mu)
        if penalty == "augmented-lagrangian":
            lam = lam - mu * (w - delta)
        assert record.mu == pytest.approx(mu)
        assert record.violation == pytest.approx(
            float((w - delta).norm() / w.norm()), rel=1e-5, abs=1e-7
        )
    assert len(solution.history) == steps + 1
    assert solution.status == "finished"


def test_lc_beats_direct_compression_on_real_data(digits: Data, digits_cnn: nn.Module) -> None:
    recipe = LC(epochs_per_step=2, optimizer=SGD(lr=0.05), batch_size=64, mu=MuSchedule(steps=8))
    plan = Plan([Task("all", ["*.weight"], Prune(density=0.08))])
    solution = lc.run(digits_cnn, plan, recipe, lc.Trainer(digits, recipe))
    direct, last = solution.history[0], solution.history[-1]
    assert last.val_accuracy >= direct.val_accuracy + 0.03
    assert last.violation < direct.violation / 3
    assert solution.best.record.val_accuracy == max(r.val_accuracy for r in solution.history)


def test_the_model_is_left_untouched(digits: Data, digits_cnn: nn.Module) -> None:
    before = {n: v.clone() for n, v in digits_cnn.state_dict().items()}
    lc.run(digits_cnn, PRUNE, QUICK, lc.Trainer(digits, QUICK))
    assert all(torch.equal(before[n], v) for n, v in digits_cnn.state_dict().items())


@pytest.mark.parametrize("penalty", ["augmented-lagrangian", "quadratic"])
@pytest.mark.parametrize(
    "scheme",
    [
        Compose([Prune(0.2), Codebook(4)]),
        Additive([Codebook(2), Prune(0.02)]),
        LowRank(2),
    ],
    ids=lambda scheme: scheme.name,
)
def test_continuing_from_any_state_is_bit_identical(
    digits: Data, digits_cnn: nn.Module, scheme: object, penalty: str
) -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.3), nn.Tanh(), nn.Linear(16, 10)
    )
    recipe = LC(**{**QUICK.model_dump(), "penalty": penalty})
    plan = Plan([Task("all", ["*.weight"], scheme)])  # type: ignore[arg-type]

    states: list[State] = []
    torch.manual_seed(3)
    whole = lc.run(model, plan, recipe, lc.Trainer(digits, recipe, 5), on_state=states.append)
    assert len(states) == len(whole.history) == 6
    for state in states:
        torch.manual_seed(99)  # must not matter
        rest = lc.run(model, plan, recipe, lc.Trainer(digits, recipe, 77), state=state)
        assert [_timeless(r) for r in rest.history] == [_timeless(r) for r in whole.history]
        for name, code in whole.best.codes.items():
            for ours, theirs in zip(code.decode(), rest.best.codes[name].decode(), strict=True):
                assert torch.equal(ours, theirs)


def test_divergence_is_a_status_and_keeps_the_last_good_step(
    digits: Data, digits_cnn: nn.Module
) -> None:
    recipe = LC(mu=MuSchedule(start=1e-3, factor=1.1, steps=4), optimizer=SGD(lr=1e6))
    solution = lc.run(digits_cnn, PRUNE, recipe, lc.Trainer(digits, recipe))
    assert solution.status == "diverged"
    assert len(solution.history) < 5
    for code in solution.best.codes.values():
        assert all(bool(torch.isfinite(w).all()) for w in code.decode())


def test_on_step_stops_when_it_returns_true(digits: Data, digits_cnn: nn.Module) -> None:
    seen: list[StepRecord] = []

    def stop_after_two(record: StepRecord) -> bool:
        seen.append(record)
        return record.step == 2

    solution = lc.run(digits_cnn, PRUNE, QUICK, lc.Trainer(digits, QUICK), on_step=stop_after_two)
    assert solution.status == "stopped"
    assert [r.step for r in seen] == [0, 1, 2]


def test_direct_is_one_c_step_and_an_empty_plan_trains_nothing(
    digits: Data, digits_cnn: nn.Module
) -> None:
    for plan, recipe in ((PRUNE, Direct()), (Plan([]), QUICK)):
        solution = lc.run(digits_cnn, plan, recipe, lc.Trainer(digits, QUICK))
        assert solution.status == "finished"
        assert [r.step for r in solution.history] == [0]
    assert solution.history[0].violation == 0.0


def test_converges_when_weights_meet_the_constraint(digits: Data, digits_cnn: nn.Module) -> None:
    recipe = LC(**{**QUICK.model_dump(), "tolerance": 0.9})
    solution = lc.run(digits_cnn, PRUNE, recipe, lc.Trainer(digits, recipe))
    assert solution.status == "converged"
    assert len(solution.history) == 2


def test_adam_and_autocast_run(digits: Data, digits_cnn: nn.Module) -> None:
    recipe = LC(mu=MuSchedule(steps=2), optimizer=Adam(), amp=True)
    solution = lc.run(digits_cnn, PRUNE, recipe, lc.Trainer(digits, recipe))
    assert all(math.isfinite(r.train_loss) for r in solution.history)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs_per_step": 2}, [0, 2, 2]),
        ({"epochs_per_step": 1, "first_step_epochs": 3}, [0, 3, 1]),
        ({"batch_size": 64}, [0, 3, 3]),  # 17 iterations an epoch: three make fifty
        ({"batch_size": 8}, [0, 1, 1]),
    ],
)
def test_length_of_the_l_steps(
    digits: Data, digits_cnn: nn.Module, settings: dict[str, int], expected: list[int]
) -> None:
    recipe = LC(mu=MuSchedule(steps=2), **settings)
    solution = lc.run(digits_cnn, PRUNE, recipe, lc.Trainer(digits, recipe))
    assert [r.epochs for r in solution.history] == expected


def _timeless(record: StepRecord) -> tuple[object, ...]:
    return tuple(v for k, v in vars(record).items() if k != "seconds")

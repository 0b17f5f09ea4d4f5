"""Free metrics agree with what is measured of the compressed model."""

import time

import pytest
import torch
from torch import nn

from autocompress import compression as c
from autocompress import models
from autocompress.api import compress
from autocompress.errors import PlanError
from autocompress.explore.free import FreeMetrics
from autocompress.metrics import Measurement, measure
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, Direct

NAMES = ("bytes", "ratio", "nonzeros", "flops", "params")
ALL = ("*.weight",)
HIDDEN = {
    "digits-cnn": ("*.weight", "!fc2.weight"),
    "lenet300": ("*.weight", "!fc3.weight"),
}
EXACT = [
    c.Dense(),
    c.Cast("float16"),
    c.Codebook(5),
    c.TernaryScale("row"),
    c.Uniform(4, per="channel"),
    c.LowRank(3),
    c.LowRank(flops=0.3),
    c.LowRank(2, conv="spatial"),
    c.Compose([c.LowRank(rank_fraction=0.2), c.Codebook(8), c.Cast("float16")]),
    c.StructurePrune(0.4, scope="layer"),
    c.Compose([c.StructurePrune(0.6, scope="layer"), c.Codebook(4)]),
]
NEAR = [
    c.Prune(0.03),
    c.Prune(0.1234567),
    c.Compose([c.Prune(0.1), c.Codebook(4), c.Cast("float16")]),
    c.Additive([c.Codebook(2), c.Prune(0.02)]),
]


@pytest.fixture(scope="module", params=["digits-cnn", "lenet300"])
def setting(request, digits):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.build(request.param, digits).eval()
    return request.param, model, FreeMetrics(model, digits)


def plan_of(name, scheme):
    return Plan([Task("all", HIDDEN[name] if scheme.structured else ALL, scheme)])


def measured(model, plan, data, recipe=None):
    return measure(NAMES, Measurement(compress(model, plan, recipe or Direct(), data), model, data))


def compare(known, real, error, margin=8):
    for name, number in known.items():
        slack = margin if name == "bytes" else 1e-3 * real[name]
        assert number.low - slack <= real[name] <= number.high + slack, name
        assert number.value == pytest.approx(real[name], rel=error), name


@pytest.mark.parametrize("scheme", EXACT, ids=lambda s: s.describe())
def test_fixed_schemes_to_a_few_bytes(setting, digits, scheme):
    name, model, free = setting
    known = free.of(plan_of(name, scheme), Direct())
    assert {"bytes", "ratio", "flops", "params"} <= known.keys()
    assert known["flops"].exact
    assert known["params"].exact
    compare(known, measured(model, plan_of(name, scheme), digits), 2e-3)


@pytest.mark.parametrize("scheme", NEAR, ids=lambda s: s.describe())
def test_pruning_to_a_few_per_cent(setting, digits, scheme):
    name, model, free = setting
    known = free.of(plan_of(name, scheme), Direct())
    assert not known["bytes"].exact
    assert known.keys() == set(NAMES)
    compare(known, measured(model, plan_of(name, scheme), digits), 0.05)


def test_layers_may_differ_and_combine(digits, setting):
    _, model, free = setting
    weights = [n for n, p in model.named_parameters() if p.dim() > 1]
    schemes = [c.StructurePrune(0.5, scope="layer"), c.LowRank(4), c.Codebook(2), c.Prune(0.5)]
    tasks = [Task(f"t{i}", [n], s) for i, (n, s) in enumerate(zip(weights, schemes, strict=False))]
    compare(free.of(Plan(tasks), Direct()), measured(model, Plan(tasks), digits), 0.01)


def test_bounds_hold_where_layers_compete_for_channels(setting, digits):
    name, model, free = setting
    plan = plan_of(name, c.StructurePrune(0.5))
    known, real = free.of(plan, Direct()), measured(model, plan, digits)
    assert all(known[n].low <= real[n] <= known[n].high for n in NAMES)


@pytest.mark.parametrize(
    "scheme", [c.L1Ball(0.01), c.L0Penalty(1e-4), c.RankSelection(1e-5), c.LowRank(energy=0.9)]
)
def test_what_the_weights_decide_is_left_out(setting, scheme):
    name, _, free = setting
    known = free.of(plan_of(name, scheme))
    elementwise = scheme.name in ("l1-ball", "l0-penalty")
    assert known.keys() == ({"flops", "params"} if elementwise else set())


def test_ties_and_batch_norm(digits):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3, padding=1)
            self.a, self.norm = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
            self.b = nn.Conv2d(6, 8, 1)
            self.out = nn.Linear(8 * 64, 10)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            y = self.b(torch.relu(self.norm(self.a(x))))
            return self.out(torch.relu(x + y).flatten(1))

    model = Block().eval()
    free = FreeMetrics(model, digits)
    scheme = c.StructurePrune(0.5, scope="layer")
    for names in (
        ["a.weight"],
        ["stem.weight", "b.weight"],
        ["stem.weight", "a.weight", "b.weight"],
    ):
        plan = Plan([Task("all", names, scheme)])
        known = free.of(plan, Direct())
        assert known.keys() == set(NAMES)
        compare(known, measured(model, plan, digits), 2e-3)
    alone = free.of(Plan([Task("all", ["stem.weight"], scheme)]))
    assert "bytes" in alone
    assert "flops" not in alone  # its channels are tied to ones outside the task


def test_a_trained_model_keeps_the_bounds(setting, digits):
    _, model, free = setting
    recipe = LC(mu={"steps": 2, "start": 1e-3, "factor": 2.0}, epochs_per_step=1)
    plan = Plan([Task("w", ALL, c.Compose([c.Prune(0.1), c.Codebook(4)]))])
    known = free.of(plan, recipe)
    compare(known, measured(model, plan, digits, recipe), 0.05)


def test_a_recipe_that_is_not_told_widens_the_bounds(setting):
    name, _, free = setting
    plan = plan_of(name, c.Codebook(4))
    vague, told = free.of(plan)["bytes"], free.of(plan, Direct())["bytes"]
    assert vague.low <= told.value <= vague.high
    assert vague.low <= free.of(plan, LC())["bytes"].value <= vague.high
    assert vague.high - vague.low > told.high - told.low


def test_a_plan_that_does_not_fit_is_refused(setting):
    with pytest.raises(PlanError, match="nothing"):
        setting[2].of(Plan([Task("all", ["nothing*"], c.Binary())]))


def test_hundreds_of_plans_take_little_time(digits):
    model = models.build("lenet300", digits).eval()
    free = FreeMetrics(model, digits)
    weights = ["fc1.weight", "fc2.weight", "fc3.weight"]

    def plan(i):
        schemes = (
            c.Prune(0.1 + i / 1000),
            c.LowRank(rank_fraction=0.1 + i / 500),
            c.Codebook(2 + i),
        )
        return Plan([Task(n, [n], s) for n, s in zip(weights, schemes, strict=True)])

    free.of(plan(0))
    plans = [plan(i) for i in range(1, 8)]
    best = min(_seconds(free, p) for p in plans)
    assert best < 2e-3  # well below a millisecond on a machine that is not busy


def _seconds(free, plan):
    began = time.perf_counter()
    free.of(plan)
    return time.perf_counter() - began

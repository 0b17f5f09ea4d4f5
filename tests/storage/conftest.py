from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autocompress import compression as c
from autocompress.plan import Plan, Task
from autocompress.storage import PackedModel


def packed_model() -> PackedModel:
    """Every kind of code, and every kind of thing that is left uncompressed."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 8, 3),
        nn.Flatten(),
        nn.Linear(8 * 16, 20),
        nn.Linear(20, 12),
        nn.Linear(12, 10),
    )
    tasks = [
        Task("filters", ["0.weight"], c.StructurePrune(0.5)),
        Task("kernels", ["2.weight"], c.LowRank(2, conv="spatial")),
        Task("sparse", ["4.weight"], c.Compose([c.Prune(0.1), c.Codebook(5), c.Cast("float16")])),
        Task("sum", ["5.weight"], c.Additive([c.Codebook(2), c.Prune(0.05)])),
        Task("half", ["6.*"], c.Cast("bfloat16")),
    ]
    plan = Plan(tasks).resolve(model)
    state = model.state_dict()
    codes = {}
    for task in plan.tasks:
        weights = tuple(state.pop(name) for name in task.params)
        codes[task.name] = task.compression.project(weights, mu=0.0)
    rest: dict[str, Tensor] = {**state, "extra.half": torch.randn(3, 2).to(torch.float16)}
    rest |= {"extra.brain": torch.randn(5).to(torch.bfloat16), "extra.empty": torch.zeros(0, 4)}
    rest |= {"extra.mask": torch.tensor([True, False, True]), "extra.turned": torch.rand(3, 4).t()}
    return PackedModel(plan, codes, rest, {"model": "toy", "steps": [1, 2.5, None, "é"]})


@pytest.fixture
def packed() -> PackedModel:
    return packed_model()

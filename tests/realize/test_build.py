from __future__ import annotations

import pytest
import torch
from torch import nn

from autocompress.compression import Codebook, LowRank, Prune, StructurePrune
from autocompress.errors import ModelError
from autocompress.plan import Plan, Task
from autocompress.realize import realize
from tests.realize.networks import Chain, direct, images


def test_schemes_without_structure_give_a_copy_of_the_decoded_model() -> None:
    plan = Plan([Task("p", "fc*.weight", Prune(0.1)), Task("c", "conv1.weight", Codebook(2))])
    decoded, resolved, codes = direct(Chain().train(), plan)
    small = realize(decoded.train(), resolved, codes, images(1))
    assert not small.training
    assert decoded.training
    for name, parameter in small.named_parameters():
        assert torch.equal(parameter, decoded.get_parameter(name))
        assert parameter.data_ptr() != decoded.get_parameter(name).data_ptr()


def test_an_empty_plan_gives_a_copy() -> None:
    model = Chain().eval()
    small = realize(model, Plan([]), {}, images(1))
    x = images()
    assert torch.equal(small(x), model(x))


def test_the_random_number_generator_is_not_touched() -> None:
    plan = Plan(
        [Task("r", "fc1.weight", LowRank(2)), Task("s", "conv*.weight", StructurePrune(0.5))]
    )
    decoded, resolved, codes = direct(Chain(), plan)
    example = images(1)
    before = torch.get_rng_state()
    realize(decoded, resolved, codes, example)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floating_points(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plan = Plan([Task("s", "0.weight", StructurePrune(0.5))])
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    decoded, resolved, codes = direct(model.to(dtype), plan)
    small = realize(decoded, resolved, codes, images(1).to(dtype))
    assert small.get_parameter("0.weight").shape == (4, 1, 3, 3)
    assert small.get_parameter("3.weight").dtype == dtype


def test_a_model_that_cannot_run_on_the_example_is_told() -> None:
    decoded, resolved, codes = direct(
        Chain(), Plan([Task("s", "conv1.weight", StructurePrune(0.5))])
    )
    with pytest.raises(ModelError, match="cannot run on its example"):
        realize(decoded, resolved, codes, torch.zeros(1, 3, 8, 8))


def test_a_model_with_two_outputs_is_told() -> None:
    class Two(Chain):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            return super().forward(x), x

    decoded, resolved, codes = direct(Two(), Plan([Task("s", "conv1.weight", StructurePrune(0.5))]))
    with pytest.raises(ModelError, match="not one tensor"):
        realize(decoded, resolved, codes, images(1))

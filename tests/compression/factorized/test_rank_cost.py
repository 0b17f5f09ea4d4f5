from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autocompress.compression.factorized.factors import matrix_shape
from autocompress.compression.factorized.rank_cost import (
    Cost,
    find_sites,
    floor,
    flop_costs,
    storage_costs,
)
from autocompress.facts import find_facts

GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 5), "padding": (2, 1), "stride": (1, 2)},
    {"kernel_size": (5, 3), "stride": (2, 3), "dilation": (1, 2), "padding": 3},
]


def counted(module: nn.Module, example: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(example)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("conv", ["channel", "spatial"])
def test_flops_are_what_pytorch_counts(geometry: dict[str, int], conv: str) -> None:
    layer = nn.Conv2d(4, 6, bias=False, **geometry)  # type: ignore[arg-type]
    example, rank = torch.zeros(1, 4, 13, 11), 3
    facts = find_facts(layer, example, {"spatial"})
    (cost,) = flop_costs(((6, 4, *layer.kernel_size),), conv, find_sites([facts["weight"]], conv))
    assert cost.dense == counted(layer, example)
    (kh, kw), (sh, sw) = layer.kernel_size, layer.stride
    (ph, pw), (dh, dw) = layer.padding, layer.dilation
    if conv == "channel":
        pair = nn.Sequential(nn.Conv2d(4, rank, bias=False, **geometry), nn.Conv2d(rank, 6, 1))  # type: ignore[arg-type]
    else:
        pair = nn.Sequential(
            nn.Conv2d(4, rank, (kh, 1), (sh, 1), (int(ph), 0), (dh, 1)),
            nn.Conv2d(rank, 6, (1, kw), (1, sw), (0, int(pw)), (1, dw)),
        )
    assert cost.of(rank) == counted(pair, example)


def test_linear_layers_count_positions() -> None:
    model = nn.Linear(5, 7)
    facts = find_facts(model, torch.zeros(1, 9, 5), {"spatial"})
    (cost,) = flop_costs(((7, 5),), "channel", find_sites([facts["weight"]], "channel"))
    assert (cost.dense, cost.rank) == (9 * 35, 9 * 12)
    assert flop_costs(((7, 5),), "channel", ()) == [Cost(35, 12)]


def test_groups_have_no_cheaper_form() -> None:
    layer = nn.Conv2d(4, 6, 3, groups=2)
    facts = find_facts(layer, torch.zeros(1, 4, 5, 5), {"spatial"})
    (cost,) = flop_costs(((6, 2, 3, 3),), "channel", find_sites([facts["weight"]], "channel"))
    assert cost.rank == cost.dense == 6 * 2 * 9 * 9


def test_storage_is_the_numbers_in_the_factors() -> None:
    shape = (6, 4, 3, 2)
    for conv in ("channel", "spatial"):
        assert storage_costs((shape,), conv) == [Cost(144, sum(matrix_shape(shape, conv)))]


def test_the_largest_rank_within_a_share() -> None:
    cost = Cost(dense=100, rank=9)
    assert [cost.most(share) for share in (0.01, 0.09, 0.18, 0.5, 0.999)] == [1, 1, 2, 5, 11]
    assert cost.most(1.0) is None
    assert Cost(dense=9, rank=9).most(0.5) is None
    assert floor(0.1 * 3 * 10) == 3
    assert floor(2.999) == 2

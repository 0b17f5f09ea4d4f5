"""The whole algorithm on another device: a GPU where there is one, and one that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.recipe import SGD

RECIPE = ac.LC(mu=ac.MuSchedule(steps=2), epochs_per_step=1)
PLANS = {
    "fisher": [("a", ["0.weight", "4.weight"], ac.Prune(0.2), "fisher")],
    "covariance": [
        ("a", ["4.weight"], ac.LowRank(4), "covariance"),
        ("b", ["6.weight"], ac.LowRank(energy=0.9), "covariance"),
    ],
    "structured": [
        ("a", ["0.weight"], ac.StructurePrune(0.5), "identity"),
        ("b", ["4.weight"], ac.StructurePrune(0.5, groups="inputs"), "identity"),
    ],
    "combined": [
        ("a", ["4.weight"], ac.Compose([ac.Prune(0.3), ac.Codebook(4)]), "identity"),
        ("b", ["6.weight"], ac.Additive([ac.Codebook(2), ac.Prune(0.05)]), "identity"),
    ],
}


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch move modules to, and step on, devices that it does not know."""
    make = torch.optim.SGD.__init__

    def plain(self: torch.optim.SGD, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs | {"fused": False, "foreach": False})

    monkeypatch.setattr(torch.optim.SGD, "__init__", plain)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


def small() -> nn.Module:
    torch.manual_seed(0)
    convolution = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convolution, nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("name", PLANS)
def test_both_devices_find_the_same(name: str, device: torch.device, tmp_path: Path) -> None:
    plan, data = ac.Plan([ac.Task(*task) for task in PLANS[name]]), ac.data.load("digits")
    here = ac.compress(small(), plan, RECIPE, data)
    model, there = small().to(device), data.to(device)
    theirs = ac.compress(model, plan, RECIPE, there, checkpoint=tmp_path / "c.ckpt")
    for a, b in zip(here.history, theirs.history, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, rel=1e-2)
        assert b.val_loss == pytest.approx(a.val_loss, rel=1e-2)
        assert b.violation == pytest.approx(a.violation, rel=1e-2)
    assert all(p.device.type == device.type for p in theirs.model.parameters())
    found = theirs.evaluate(there.test).accuracy
    assert found == pytest.approx(here.evaluate(data.test).accuracy, abs=0.02)
    theirs.save(tmp_path / "m.safetensors")
    assert ac.load(tmp_path / "m.safetensors", small()).size.bytes == theirs.size.bytes
    smaller = theirs.realize()
    assert all(p.device.type == device.type for p in smaller.parameters())
    tuned = ac.finetune(theirs, there, epochs=1, optimizer=SGD())
    assert tuned.evaluate(there.test).samples == len(there.test)

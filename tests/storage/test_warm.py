"""Files of warm starts: exact, and refused when they are not what they should be."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from torch import nn

import autocompress as ac
from autocompress.errors import PackedFileError
from autocompress.storage import warm
from autocompress.testing.executors import toy_context

RECIPE = ac.LC(mu=ac.MuSchedule(start=1e-2, factor=2.0, steps=2), batch_size=16)


@pytest.fixture(scope="module")
def context():
    return toy_context()


@pytest.fixture
def kept(context, tmp_path):
    plan = ac.Plan([ac.Task("all", "*.weight", ac.Prune(density=0.5))])
    state = tmp_path / "state"
    ac.compress(context.model, plan, RECIPE, context.data, checkpoint=state)
    warm.keep(state, tmp_path / "warm")
    return tmp_path / "warm"


def test_holds_weights_multipliers_and_the_last_mu(kept, context):
    found = warm.load(kept, context.model)
    with safetensors.safe_open(kept.with_name("state"), framework="pt") as file:
        for name, value in found.weights.items():
            assert torch.equal(value, file.get_tensor(f"weights/{name}"))
        for name, value in found.multipliers.items():
            assert torch.equal(value, file.get_tensor(f"multipliers/{name}"))
    assert set(found.weights) == set(context.model.state_dict())
    assert set(found.multipliers) == {"0.weight", "2.weight"}
    assert found.mu == 2e-2


def test_missing_damaged_and_foreign_files_are_refused(kept, context, tmp_path):
    with pytest.raises(PackedFileError, match="no such file"):
        warm.load(tmp_path / "nowhere", context.model)
    whole = kept.read_bytes()
    for content in (b"", b"nonsense", whole[:200], whole[:-8]):
        kept.write_bytes(content)
        with pytest.raises(PackedFileError, match="not a readable warm start"):
            warm.load(kept, context.model)
    kept.write_bytes(whole)
    with pytest.raises(PackedFileError, match="does not fit the model"):
        warm.load(kept, nn.Linear(2, 2))
    with pytest.raises(PackedFileError, match="not a readable L-C checkpoint"):
        warm.keep(kept, tmp_path / "other")
    header = {"autocompress.warm": json.dumps({"version": 99, "mu": 1.0})}
    kept.write_bytes(safetensors.torch.save({"weights/a": torch.zeros(1)}, header))
    with pytest.raises(PackedFileError, match="newer version"):
        warm.load(kept, context.model)

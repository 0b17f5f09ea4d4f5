import json
from pathlib import Path

import pytest
import torch

from autocompress import data
from autocompress.data import DataSpec, Shift, load_spec
from autocompress.errors import DataError, UnknownName


def test_a_spec_survives_json_and_loads_the_same_data():
    first = data.load("digits", seed=3, val_fraction=0.1)
    spec = DataSpec.from_dict(json.loads(json.dumps(first.spec.to_dict())))
    assert spec == first.spec
    again = load_spec(spec, "cpu")
    assert again.digest == first.digest
    assert torch.equal(again.train.x, first.train.x)


def test_a_relative_root_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = DataSpec(name="mnist", root="sub/../data")
    assert spec.root == str(Path(tmp_path, "data").resolve())


def test_a_misspelt_key_is_explained():
    with pytest.raises(UnknownName, match="did you mean 'root'"):
        DataSpec.from_dict({"name": "digits", "rot": "x"})


def test_examples_are_typical_and_repeatable():
    digits = data.load("digits")
    before = torch.get_rng_state()
    x = digits.example(3)
    assert x.shape == (3, 1, 8, 8)
    assert x.dtype == torch.float32
    assert torch.equal(x, digits.example(3))
    assert torch.equal(before, torch.get_rng_state())


def test_to_moves_every_split():
    moved = data.load("digits").to("meta")
    assert {s.device.type for s in (moved.train, moved.val, moved.test)} == {"meta"}
    assert moved.device.type == "meta"


def test_repr_says_what_it_is():
    assert repr(data.load("digits")).startswith(
        "Data('digits', train=1079, val=359, test=359, 1x8x8, 10 classes"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_device_does_not_change_the_data():
    here, there = data.load("digits"), data.load("digits", device="cuda")
    assert there.digest == here.digest
    assert there.example().device.type == "cuda"
    assert torch.allclose(there.train.x.cpu(), here.train.x, atol=1e-6)
    order = [torch.Generator().manual_seed(0) for _ in range(2)]
    on_here = next(here.train.batches(8, generator=order[0]))[1]
    on_there = next(there.train.batches(8, generator=order[1]))[1]
    assert torch.equal(on_here, on_there.cpu())


def test_only_shuffled_training_batches_are_augmented():
    digits = data.load("digits")
    moved = digits.augmented(Shift(1))
    assert moved.digest != digits.digest
    assert moved.digest == digits.augmented(Shift(1)).digest != digits.augmented(Shift(2)).digest
    assert moved.spec is None
    (x, y), (plain, labels) = (
        next(d.train.batches(50, generator=torch.Generator().manual_seed(0)))
        for d in (moved, digits)
    )
    assert torch.equal(y, labels)
    assert not torch.equal(x, plain)
    assert torch.equal(next(moved.train.batches(50))[0], digits.train.x[:50])
    assert moved.val is digits.val
    assert moved.test is digits.test


def test_augmentation_that_does_not_fit_is_refused_before_training():
    table = data.from_tensors(
        train=(torch.randn(8, 5), torch.arange(8) % 2),
        val=(torch.randn(8, 5), torch.arange(8) % 2),
        test=(torch.randn(8, 5), torch.arange(8) % 2),
    )
    with pytest.raises(
        DataError, match=r"Shift\(pixels=1\) does not take a batch of shape \(2, 5\)"
    ):
        table.augmented(Shift(1))
    with pytest.raises(DataError, match=r"returns \(2, 3\) for a batch of \(2, 5\)"):
        table.augmented(lambda x, generator: x[:, :3])


def test_streamed_data_are_augmented_by_their_own_transform():
    items = [(torch.randn(1, 4, 4), label % 2) for label in range(8)]
    streamed = data.from_datasets(train=items, val=items, test=items, in_memory=False, classes=2)
    with pytest.raises(DataError, match="streamed examples are changed by the transform"):
        streamed.augmented(Shift(1))

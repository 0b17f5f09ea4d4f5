import pytest
import torch

from autocompress import data
from autocompress.errors import ConfigError, UnknownName


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_digits_is_split_60_20_20_with_every_class_everywhere(digits):
    sizes = [len(split) for split in (digits.train, digits.val, digits.test)]
    assert sizes == [1079, 359, 359]
    for split in (digits.train, digits.val, digits.test):
        share = torch.bincount(split.y, minlength=10) / len(split)
        assert ((share - 0.1).abs() < 0.01).all()
    assert digits.input_shape == (1, 8, 8)
    assert digits.classes == 10


def test_inputs_are_standardised_by_the_training_part(digits):
    x = digits.train.x
    assert x.dtype == torch.float32
    assert abs(float(x.mean())) < 1e-5
    assert abs(float(x.std(correction=0)) - 1) < 1e-5
    assert abs(float(digits.val.x.mean())) > 1e-4  # by its own statistics it would be 0


def test_splits_do_not_share_examples_and_cover_the_source(digits):
    from sklearn.datasets import load_digits

    images = load_digits().images.reshape(-1, 64)
    scale, shift = _undo(digits.train.x)
    found = torch.cat([s.x.flatten(1) for s in (digits.train, digits.val, digits.test)])
    restored = (found * scale + shift).round().to(torch.int64)
    assert sorted(map(tuple, restored.tolist())) == sorted(map(tuple, images.astype(int).tolist()))


def _undo(x):
    low, high = float(x.min()), float(x.max())  # pixels 0 and 16
    return 16 / (high - low), -16 * low / (high - low)


def test_the_seed_decides_split_and_digest(digits):
    again, other = data.load("digits"), data.load("digits", seed=1)
    assert again.digest == digits.digest
    assert torch.equal(again.val.x, digits.val.x)
    assert other.digest != digits.digest
    assert not torch.equal(other.val.y, digits.val.y)


def test_the_splits_are_the_same_on_every_machine(digits):
    # a change of this digest invalidates every cached reference: make it on purpose only
    assert digits.digest == "5a78181e27926d80"


def test_the_validation_share_can_be_chosen():
    small = data.load("digits", val_fraction=0.05)
    assert len(small.val) == 90
    assert len(small.test) == 359


def test_loading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    data.load("digits")
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'mnist'"):
        data.load("mnits")


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="val_fractoin"):
        data.load("digits", val_fractoin=0.1)
    with pytest.raises(ConfigError, match="val_fraction = 2"):
        data.load("digits", val_fraction=2)


def test_names_and_descriptions_agree():
    assert set(data.names()) == set(data.describe())
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "image-folder"} <= set(
        data.names()
    )

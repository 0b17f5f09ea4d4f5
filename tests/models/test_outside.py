import itertools
import sys

import pytest
import torch

from autocompress import data, models
from autocompress.errors import ModelError, UnknownName

FACTORIES = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def sized(data):
    return nn.Sequential(nn.Flatten(), nn.Linear(data.input_shape[-1] ** 2, data.classes))

def optional(width=64, depth=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(width, 10))

def optional_data(data=None):
    assert data is not None
    return sized(data)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))

ready = Net()
number = 3

def two(a, b): ...
def keyword(*, data): ...
def wrong(): return 3
def fails(): raise KeyError("inner")
def unfit(): return nn.Linear(3, 3)
"""

counter = itertools.count()


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of its own name in the current folder."""
    name = f"user_models_{next(counter)}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("factory", ["plain", "sized", "optional", "optional_data", "Net", "ready"])
def test_a_factory_in_the_current_folder_is_found_and_called(digits, module, factory):
    before = list(sys.path)
    model = models.build(f"{module}:{factory}", digits)
    assert model(digits.example(2)).shape == (2, 10)
    assert sys.path == before


def test_a_ready_module_is_copied(digits, module):
    a, b = (models.build(f"{module}:ready", digits) for _ in range(2))
    assert a.fc.weight is not b.fc.weight
    assert torch.equal(a.fc.weight, b.fc.weight)


def test_the_seed_reaches_the_factory(digits, module):
    a, b, c = (models.build(f"{module}:plain", digits, seed=seed)[1].weight for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("plian", "has no 'plian'; did you mean 'plain'"),
        ("number", "int is not callable"),
        ("two", r"needs \(a, b\)"),
        ("keyword", r"needs \(data\)"),
        ("wrong", "gave int, not a torch.nn.Module"),
        ("fails", "failed: KeyError: 'inner'"),
        ("unfit", "does not take inputs of shape"),
        ("", "expected module:factory"),
    ],
)
def test_what_is_wrong_with_a_factory_is_named(digits, module, factory, message):
    with pytest.raises(ModelError, match=message):
        models.build(f"{module}:{factory}", digits)


def test_a_module_that_cannot_be_imported_is_named(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="cannot import 'no_such_module'"):
        models.build("no_such_module:make", digits)
    name = f"broken_{next(counter)}"
    (tmp_path / f"{name}.py").write_text("1 / 0")
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        models.build(f"{name}:make", digits)


def test_a_factory_that_takes_the_data_needs_it(module):
    with pytest.raises(ModelError, match="takes the data, and none was given"):
        models.build(f"{module}:sized", input_shape=(1, 8, 8), classes=10)


def test_torchvision_models_get_the_classes():
    model = models.build("torchvision:squeezenet1_1", input_shape=(3, 64, 64), classes=5)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


def test_torchvision_models_are_checked(digits):
    with pytest.raises(UnknownName, match="did you mean 'resnet18'"):
        models.build("torchvision:resnt18", digits)
    with pytest.raises(ModelError, match="does not take inputs of shape"):
        models.build("torchvision:squeezenet1_1", digits)


def test_googlenet_can_be_trained():
    model = models.build("torchvision:googlenet", input_shape=(3, 64, 64), classes=5)
    assert isinstance(model.train()(torch.zeros(2, 3, 64, 64)), torch.Tensor)

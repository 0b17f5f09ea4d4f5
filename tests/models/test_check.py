import contextlib

import pytest
import torch
from torch import nn

from autocompress import data
from autocompress.errors import ModelError
from autocompress.evaluation import evaluating
from autocompress.models import check


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def mlp(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.Dropout(), nn.Linear(8, outputs))


def test_a_fitting_model_passes_untouched(digits):
    model = mlp(64, 10)
    model[2].eval()
    check(model, digits)
    assert [m.training for m in model] == [True, True, False, True]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (mlp(65, 10), r"'mine' does not take inputs of shape \(1, 8, 8\).*64"),
        (mlp(64, 9), r"'mine' answers a batch of 2 with \(2, 9\), expected.*\(2, 10\)"),
        (Pair(), "with tuple"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(digits, model, message):
    with pytest.raises(ModelError, match=message):
        check(model, digits, name="mine")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_are_not_finite_are_named(digits, value):
    model = mlp(64, 10)
    with torch.no_grad():
        model[3].bias[2] = value
    with pytest.raises(ModelError, match=r"'mine': its parameter '3.bias' has NaN or infinity"):
        check(model, digits, name="mine")


class Caching(nn.Module):
    """Keeps what its first forward made, as position encodings are often kept."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.grid = None

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.ones(4)
        return self.fc(x * self.grid)


def test_a_model_can_still_be_trained_after_the_check():
    x, y = torch.randn(4, 4), torch.arange(4) % 2
    toy = data.from_tensors(train=(x, y), val=(x, y), test=(x, y))
    model = Caching()
    check(model, toy)
    model(x).sum().backward()
    assert model.fc.weight.grad is not None


def test_modes_come_back_even_after_an_error():
    model = mlp(4, 2).train()
    with contextlib.suppress(RuntimeError), evaluating(model):
        assert not any(m.training for m in model.modules())
        raise RuntimeError
    assert all(m.training for m in model.modules())

import pytest
import torch
from torch import nn

from autocompress.errors import ModelError
from autocompress.models.lenet import LeNet5, LeNet300


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_lenet300_has_the_published_layers():
    model = LeNet300()
    assert parameters(model) == 266_610
    assert sum(p.numel() for n, p in model.named_parameters() if n.endswith("weight")) == 266_200
    assert {"fc1", "fc2", "fc3"} <= {name for name, _ in model.named_modules()}
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_lenet300_activation_is_tanh_unless_said_otherwise():
    assert isinstance(LeNet300().act1, nn.Tanh)
    assert isinstance(LeNet300(activation=nn.ReLU).act2, nn.ReLU)


def test_lenet300_takes_other_shapes():
    assert LeNet300((7,), 3)(torch.zeros(2, 7)).shape == (2, 3)


def test_lenet5_is_caffes():
    model = LeNet5()
    assert parameters(model) == 431_080
    assert {"conv1", "conv2", "fc1", "fc2"} <= {name for name, _ in model.named_modules()}
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_lenet5_takes_other_images_down_to_16_pixels():
    assert LeNet5((3, 32, 16), 4)(torch.zeros(2, 3, 32, 16)).shape == (2, 4)
    for shape in ((1, 15, 28), (784,)):
        with pytest.raises(ModelError, match="lenet5 needs images of at least 16x16"):
            LeNet5(shape)

import pytest
import torch
from torch import nn

from autocompress import data
from autocompress.errors import ModelError
from autocompress.models import Training, train
from autocompress.models.resnet import CifarResNet


@pytest.mark.parametrize(("shortcut", "parameters"), [("A", 269_722), ("B", 272_474)])
def test_resnet20_has_the_published_size(shortcut, parameters):
    model = CifarResNet(shortcut=shortcut)
    assert sum(p.numel() for p in model.parameters()) == parameters
    weighted = [
        m
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(weighted) == 20
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_option_a_keeps_every_second_pixel_and_adds_zero_channels():
    block = CifarResNet(shortcut="A").stage2[0]
    x = torch.randn(2, 16, 7, 8)
    out = block.shortcut(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out.shape == (2, 32, 4, 4)
    assert out[:, :8].abs().sum() + out[:, 24:].abs().sum() == 0
    assert block(x).shape == out.shape


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_it_learns_a_simple_distinction(shortcut):
    def pair(n):
        y = torch.arange(n) % 2
        return torch.randn(n, 3, 8, 8) * 0.3 + y.view(-1, 1, 1, 1), y

    torch.manual_seed(0)
    toy = data.from_tensors(train=pair(64), val=pair(32), test=pair(8))
    model = CifarResNet((3, 8, 8), 2, shortcut=shortcut)
    outcome = train(model, toy, Training(epochs=4, batch_size=16, lr=0.05))
    assert outcome.accuracy > 0.9


def test_inputs_that_are_no_images_are_refused():
    with pytest.raises(ModelError, match="at least 4x4"):
        CifarResNet((3, 2, 32))

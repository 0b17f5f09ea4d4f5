import pytest
import torch
from torch import nn

from autocompress.errors import ModelError
from autocompress.models.digits_cnn import DigitsCNN


def test_layers_and_size():
    model = DigitsCNN()
    assert sum(p.numel() for p in model.parameters()) == 13_706
    assert {"conv1", "conv2", "fc1", "fc2"} <= {name for name, _ in model.named_modules()}
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_other_images():
    assert DigitsCNN((3, 32, 5), 4)(torch.zeros(2, 3, 32, 5)).shape == (2, 4)
    with pytest.raises(ModelError, match="at least 4x4"):
        DigitsCNN((64,))

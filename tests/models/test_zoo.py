import pytest
import torch

from autocompress import data, models
from autocompress.errors import ConfigError, ModelError, UnknownName
from autocompress.models.zoo import ZOO

SHAPES = {"digits-cnn": (1, 8, 8), "resnet20": (3, 32, 32), "resnet20-a": (3, 32, 32)}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_model_builds_and_answers(name):
    shape = SHAPES.get(name, (1, 28, 28))
    model = models.build(name, input_shape=shape, classes=7)
    assert not model.training
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_the_seed_decides_the_weights_and_nothing_else_does():
    def first(seed):
        model = models.build("digits-cnn", input_shape=(1, 8, 8), classes=10, seed=seed)
        return next(model.parameters()).detach()

    before = torch.get_rng_state()
    weights = first(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(123)
    assert torch.equal(weights, first(0))
    assert not torch.equal(weights, first(1))


def test_the_data_gives_shapes():
    model = models.build("lenet300", data.load("digits"))
    assert model.fc1.in_features == 64
    assert model.fc3.out_features == 10


def test_shapes_must_come_from_somewhere():
    with pytest.raises(ConfigError, match="give data, or both"):
        models.build("lenet300", classes=10)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'lenet300'"):
        models.build("lenet30", data.load("digits"))


def test_a_model_that_does_not_fit_the_data_is_explained():
    with pytest.raises(ModelError, match="lenet5 needs images of at least 16x16"):
        models.build("lenet5", data.load("digits"))


def test_names_and_descriptions_agree():
    assert models.names() == list(models.describe())
    assert {"lenet300", "lenet300-relu", "lenet5", "digits-cnn", "resnet20"} <= set(models.names())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_model_goes_where_the_data_is():
    there = models.build("digits-cnn", data.load("digits", device="cuda"))
    here = models.build("digits-cnn", data.load("digits"))
    assert next(there.parameters()).device.type == "cuda"
    assert torch.equal(there.conv1.weight.cpu(), here.conv1.weight)

import copy

import pytest
import torch
from torch import nn

from autocompress.errors import RunError
from autocompress.observer import Observer
from autocompress.reference import digest_of_model, reference_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_a_model_of_ones_own_is_kept_and_comes_back(model, tmp_path):
    path = tmp_path / "reference.safetensors"
    kept = copy.deepcopy(model)
    assert reference_of(model, model, None, path, Observer()) is model
    with torch.no_grad():
        model[0].weight.zero_()
    again = reference_of(model, model, None, path, Observer())
    for name, value in kept.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_the_reference_of_another_model_is_refused(model, tmp_path):
    path = tmp_path / "reference.safetensors"
    reference_of(model, model, None, path, Observer())
    other = nn.Linear(3, 4)
    with pytest.raises(RunError, match=r"reference\.safetensors: the run's reference model cannot"):
        reference_of(other, other, None, path, Observer())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunError, match=r"reference\.safetensors: the run's reference model cannot"):
        reference_of(model, model, None, path, Observer())


def test_digests_tell_weights_buffers_and_structure_apart(model):
    digest = digest_of_model(model)
    assert digest == digest_of_model(copy.deepcopy(model))
    trained, counted = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        trained[0].bias[0] += 1e-3
        counted[1].num_batches_tracked += 1
    activated = nn.Sequential(*copy.deepcopy(model), nn.ReLU())
    assert len({digest, *map(digest_of_model, (trained, counted, activated))}) == 4

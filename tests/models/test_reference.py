import itertools

import pytest
import torch
from safetensors import safe_open

from autocompress import data, models
from autocompress.errors import AutocompressWarning
from autocompress.models import Training

SHORT = Training(epochs=1, batch_size=256)
counter = itertools.count()


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


class Calls:
    """Counts epochs trained: none when the model came from the cache."""

    def __init__(self):
        self.epochs = []

    def __call__(self, epoch, epochs, accuracy):
        self.epochs.append((epoch, epochs, accuracy))


def load(digits, cache, **options):
    calls = Calls()
    name = options.pop("name", "digits-cnn")
    options = {"training": SHORT} | options
    model = models.load(name, digits, cache=cache, progress=calls, **options)
    return model, len(calls.epochs)


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_the_second_time_it_comes_from_the_cache(digits, tmp_path):
    before = torch.get_rng_state()
    first, trained = load(digits, tmp_path)
    again, retrained = load(digits, tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert (trained, retrained) == (1, 0)
    assert same(first, again)
    assert not again.training


def test_progress_is_told_epoch_epochs_and_accuracy(digits, tmp_path):
    calls = Calls()
    models.load("digits-cnn", digits, cache=tmp_path, progress=calls, training=Training(epochs=2))
    assert [(e, n) for e, n, _ in calls.epochs] == [(1, 2), (2, 2)]
    assert all(0 <= accuracy <= 1 for _, _, accuracy in calls.epochs)


def test_one_file_with_its_story_and_no_leftovers(digits, tmp_path):
    load(digits, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("digits-cnn-")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["model"] == "digits-cnn"
    assert 0 < float(metadata["val_accuracy"]) < 1
    assert Training.model_validate_json(metadata["training"]) == SHORT


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"training": Training(epochs=1, batch_size=128)},
        {"name": "lenet300"},
        {"data": data.load("digits", seed=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_matters_trains_again(digits, tmp_path, change):
    load(digits, tmp_path)
    change = dict(change)
    assert load(change.pop("data", digits), tmp_path, **change)[1] == 1
    assert load(digits, tmp_path)[1] == 0


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_garbage(path):
    path.write_bytes(b"not a safetensors file")


def damage_empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_truncate, damage_garbage, damage_empty])
def test_a_damaged_file_is_trained_again_with_a_note(digits, tmp_path, damage):
    first, _ = load(digits, tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path)
    with pytest.warns(AutocompressWarning, match="cannot be used.*training it again"):
        again, trained = load(digits, tmp_path)
    assert trained == 1
    assert same(first, again)
    assert load(digits, tmp_path)[1] == 0


def test_a_file_of_another_model_is_not_trusted(digits, tmp_path):
    load(digits, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    load(digits, tmp_path, seed=1)
    (other,) = set(tmp_path.iterdir()) - {path}
    other.write_bytes(content)
    with pytest.warns(AutocompressWarning, match="belongs to another model"):
        assert load(digits, tmp_path, seed=1)[1] == 1


def test_a_cache_that_cannot_be_written_is_a_note(digits, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(AutocompressWarning, match="could not be kept"):
        _, trained = load(digits, tmp_path / "file" / "inside")
    assert trained == 1


def test_the_environment_names_the_cache(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_CACHE", str(tmp_path))
    load(digits, None)
    assert len(list((tmp_path / "references").iterdir())) == 1


def test_untrained_on_request(digits, tmp_path):
    model, trained = load(digits, tmp_path, pretrained=False)
    assert trained == 0
    assert same(model, models.build("digits-cnn", digits))
    assert list(tmp_path.iterdir()) == []


USER = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.tied = self.fc
        {extra}
    def forward(self, x):
        return self.fc(x.flatten(1)){suffix}
"""


def user_module(folder, extra="pass", suffix="", name=None):
    name = name or f"user_reference_{next(counter)}"
    (folder / f"{name}.py").write_text(USER.format(extra=extra, suffix=suffix))
    return name


def test_a_users_model_is_trained_and_cached_even_with_tied_weights(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = user_module(tmp_path) + ":Net"
    model, trained = load(digits, tmp_path / "cache", name=name)
    again, retrained = load(digits, tmp_path / "cache", name=name)
    assert (trained, retrained) == (1, 0)
    assert same(model, again)
    assert again.tied is again.fc


def test_a_users_model_may_say_it_is_trained(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = user_module(tmp_path, extra="self.trained = True") + ":Net"
    model, trained = load(digits, tmp_path / "cache", name=name)
    assert trained == 0
    assert same(model, models.build(name, digits))


def test_a_changed_forward_of_a_users_model_trains_again(digits, tmp_path, monkeypatch):
    import linecache
    import sys

    monkeypatch.chdir(tmp_path)
    name = user_module(tmp_path)
    assert load(digits, tmp_path / "cache", name=f"{name}:Net")[1] == 1
    user_module(tmp_path, suffix=".tanh()", name=name)
    del sys.modules[name]  # as in a new process
    linecache.clearcache()
    assert load(digits, tmp_path / "cache", name=f"{name}:Net")[1] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_reference_trained_on_one_device_serves_the_other(digits, tmp_path):
    there, trained = load(digits.to("cuda"), tmp_path)
    here, retrained = load(digits, tmp_path)
    assert (trained, retrained) == (1, 0)
    assert next(there.parameters()).device.type == "cuda"
    assert same(there.cpu(), here)

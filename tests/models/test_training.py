import dataclasses

import pytest
import torch
from torch import nn

from autocompress import data, models
from autocompress.errors import ConfigError, ModelError
from autocompress.evaluation import evaluate
from autocompress.models import Outcome, Training, train


def blobs(n, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    centres = torch.tensor([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return centres[y] + 0.7 * torch.randn(n, 2, generator=generator), y


@pytest.fixture(scope="module")
def toy():
    return data.from_tensors(train=blobs(120, 0), val=blobs(60, 1), test=blobs(30, 2))


def net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_it_learns(toy, optimizer):
    model = net()
    outcome = train(model, toy, Training(epochs=10, batch_size=16, lr=0.01, optimizer=optimizer))
    assert outcome.accuracy > 0.9
    assert not model.training
    validation = evaluate(model, toy.val)
    accuracy, loss = validation.accuracy, validation.loss
    assert (accuracy, loss) == (outcome.accuracy, outcome.loss)


def test_it_is_reproducible_and_leaves_the_global_generator_alone(toy):
    before = torch.get_rng_state()
    first, second, other = net(), net(), net()
    train(first, toy, Training(epochs=3), seed=4)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(77)
    train(second, toy, Training(epochs=3), seed=4)
    train(other, toy, Training(epochs=3), seed=5)
    assert same(state(first), state(second))
    assert not same(state(first), state(other))


def test_the_best_epoch_is_kept_by_accuracy_then_loss(toy):
    losses = []
    model = net()

    def watch(epoch, epochs, accuracy):
        losses.append((accuracy, -evaluate(model, toy.val).loss, epoch))

    outcome = train(model, toy, Training(epochs=12, lr=0.3, schedule="constant"), progress=watch)
    assert [epoch for _, _, epoch in losses] == list(range(1, 13))
    accuracy, negative, epoch = max(losses)
    assert (outcome.accuracy, -outcome.loss, outcome.epoch) == (accuracy, negative, epoch)
    validation = evaluate(model, toy.val)
    assert (validation.accuracy, validation.loss) == (accuracy, -negative)


def test_equal_accuracies_are_decided_by_the_loss():
    assert Outcome(1, 0.9, 0.1).better_than(Outcome(2, 0.9, 0.2))
    assert Outcome(1, 0.91, 0.5).better_than(Outcome(2, 0.9, 0.2))
    assert not Outcome(1, 0.9, 0.2).better_than(Outcome(2, 0.9, 0.2))
    assert not Outcome(1, 0.5, float("nan")).better_than(Outcome(2, 0.5, 0.2))


def test_a_trained_model_never_gets_worse(toy):
    model = net()
    good = train(model, toy, Training(epochs=20, lr=0.05))
    before = state(model)
    outcome = train(model, toy, Training(epochs=1, lr=50.0, schedule="constant"))
    assert (outcome.accuracy, outcome.loss) == (good.accuracy, good.loss)
    assert outcome.epoch == 0
    assert same(before, state(model))


class Untouchable:
    """A split that must not be read."""

    device = torch.device("cpu")

    def __len__(self):
        return 5

    def batches(self, batch_size, *, generator=None):
        raise AssertionError("the test split was read")


def test_the_test_split_is_not_read(toy):
    sealed = dataclasses.replace(toy, test=Untouchable())
    assert train(net(), sealed, Training(epochs=1)).epoch in (0, 1)


def test_divergence_is_an_error_when_nothing_was_learned(toy):
    with pytest.raises(ModelError, match=r"diverged.*1e\+30"):
        train(net(), toy, Training(epochs=3, lr=1e30))


def test_divergence_later_keeps_the_best_epoch(toy):
    class Bomb(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net()
            self.calls = 0

        def forward(self, x):
            self.calls += self.training
            return self.inner(x) * (float("nan") if self.calls > 8 else 1.0)

    seen = []
    outcome = train(
        Bomb(), toy, Training(epochs=9, batch_size=60, lr=0.1), progress=lambda *a: seen.append(a)
    )
    assert outcome.diverged
    assert 1 <= outcome.epoch <= 4
    assert len(seen) == 4


def test_nothing_to_train_is_an_error(toy):
    with pytest.raises(ModelError, match="no parameters"):
        train(nn.Flatten(), toy, Training(epochs=1))


def test_schedules():
    cosine = Training(epochs=10, lr=0.2)
    assert cosine.lr_at(0) == pytest.approx(0.2)
    assert cosine.lr_at(5) == pytest.approx(0.1)
    decayed = Training(lr=0.2, schedule="exponential", lr_decay=0.5)
    assert decayed.lr_at(2) == pytest.approx(0.05)
    assert Training(lr=0.2, schedule="constant").lr_at(7) == 0.2


def test_unusable_settings_are_named():
    with pytest.raises(ConfigError, match=r"Training\.lr = -1"):
        Training(lr=-1)
    with pytest.raises(ConfigError, match="epoch"):
        Training(epoch=3)


def test_digits_cnn_reaches_97_percent_within_seconds(tmp_path):
    digits = data.load("digits")
    model = models.load("digits-cnn", digits, cache=tmp_path)
    assert evaluate(model, digits.val).accuracy >= 0.97

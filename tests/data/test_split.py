import multiprocessing

import pytest
import torch
from torch.utils.data import TensorDataset

from autocompress.data import LoaderSplit, Split, TensorSplit
from autocompress.errors import ConfigError


def tensors(n=23):
    return torch.arange(n * 3, dtype=torch.float32).view(n, 3), torch.arange(n) % 4


def make(kind, n=23):
    x, y = tensors(n)
    return TensorSplit(x, y) if kind == "tensor" else LoaderSplit(TensorDataset(x, y))


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def gathered(batches):
    xs, ys = zip(*batches, strict=True)
    return torch.cat(xs), torch.cat(ys)


@pytest.mark.parametrize("kind", ["tensor", "loader"])
class TestEverySplit:
    def test_is_a_split(self, kind):
        assert isinstance(make(kind), Split)
        assert make(kind).device == torch.device("cpu")

    def test_without_generator_in_order_with_the_partial_batch_kept(self, kind):
        x, y = tensors()
        batches = list(make(kind).batches(10))
        assert [len(b) for b, _ in batches] == [10, 10, 3]
        got_x, got_y = gathered(batches)
        assert torch.equal(got_x, x)
        assert torch.equal(got_y, y)
        assert got_x.dtype == torch.float32
        assert got_y.dtype == torch.int64

    def test_with_generator_a_permutation_with_labels_still_matching(self, kind):
        x, y = tensors()
        got_x, got_y = gathered(make(kind).batches(10, generator=seeded()))
        assert not torch.equal(got_x, x)
        order = got_x[:, 0].argsort()
        assert torch.equal(got_x[order], x)
        assert torch.equal(got_y[order], y)

    def test_the_generator_alone_decides_the_order(self, kind):
        split, generator = make(kind), seeded()
        first = gathered(split.batches(10, generator=generator))[0]
        second = gathered(split.batches(10, generator=generator))[0]
        torch.manual_seed(99)
        again = gathered(split.batches(10, generator=seeded()))[0]
        assert torch.equal(first, again)
        assert not torch.equal(first, second)

    def test_all_is_drawn_at_the_call_not_while_reading(self, kind):
        split, partly, wholly = make(kind), seeded(), seeded()
        next(iter(split.batches(10, generator=partly)))
        list(split.batches(10, generator=wholly))
        assert torch.equal(partly.get_state(), wholly.get_state())

    def test_the_global_generator_is_left_alone(self, kind):
        before = torch.get_rng_state()
        list(make(kind).batches(10))
        list(make(kind).batches(10, generator=seeded()))
        make(kind).subset(5)
        assert torch.equal(before, torch.get_rng_state())

    def test_subsets_are_fixed_and_nested(self, kind):
        split = make(kind)
        small = set(gathered(split.subset(5, seed=1).batches(99))[0][:, 0].tolist())
        large = set(gathered(split.subset(9, seed=1).batches(99))[0][:, 0].tolist())
        other = set(gathered(split.subset(5, seed=2).batches(99))[0][:, 0].tolist())
        assert len(small) == 5
        assert small < large
        assert small != other
        assert len(split.subset(1000)) == len(split)

    def test_useless_sizes_are_refused(self, kind):
        with pytest.raises(ConfigError, match="batch_size = 0"):
            make(kind).batches(0)
        with pytest.raises(ConfigError, match="subset of 0"):
            make(kind).subset(0)

    def test_to_moves_the_delivery(self, kind):
        moved = make(kind).to("meta")
        assert moved.device == torch.device("meta")


def test_both_kinds_shuffle_alike():
    a = gathered(make("tensor").batches(7, generator=seeded()))[0]
    b = gathered(make("loader").batches(7, generator=seeded()))[0]
    assert torch.equal(a, b)


def test_loader_workers_deliver_the_same():
    x, y = tensors()
    split = LoaderSplit(TensorDataset(x, y), workers=1)
    assert torch.equal(gathered(split.batches(10))[0], x)


def test_loader_in_a_daemonic_process_does_without_workers(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    x, y = tensors()
    split = LoaderSplit(TensorDataset(x, y), workers=2)
    assert torch.equal(gathered(split.batches(10))[0], x)


def test_augmentation_changes_shuffled_batches_only_and_reproducibly():
    def noise(x, generator):
        return x + 1000 * torch.rand(len(x), 1, generator=generator)

    x, y = tensors()
    split = TensorSplit(x, y, noise)
    assert torch.equal(gathered(split.batches(10))[0], x)
    first = gathered(split.batches(10, generator=seeded()))[0]
    assert torch.equal(first, gathered(split.batches(10, generator=seeded()))[0])
    assert not torch.isin(first, x).any()
    assert split.subset(5).augment is noise

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from autocompress import data
from autocompress.data import LoaderSplit, TensorSplit
from autocompress.errors import DataError


def pair(n=12, width=4, classes=3, seed=0):
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(seed))
    return x, torch.arange(n) % classes


def from_tensors(**changes):
    given = {"train": pair(), "val": pair(6, seed=1), "test": pair(6, seed=2)}
    return data.from_tensors(**(given | changes))


def test_tensors_are_taken_as_they_are():
    found = from_tensors()
    assert torch.equal(found.train.x, pair()[0])
    assert found.input_shape == (4,)
    assert found.classes == 3
    assert found.spec is None


def test_arrays_and_other_number_types_are_converted():
    x, y = pair()
    found = from_tensors(train=(x.double().numpy(), y.numpy().astype(np.int32)))
    assert found.train.x.dtype == torch.float32
    assert found.train.y.dtype == torch.int64
    assert found.digest == from_tensors().digest


def test_the_device_is_that_of_the_training_inputs_unless_given():
    assert from_tensors().device == torch.device("cpu")
    assert from_tensors(device="meta").device == torch.device("meta")


def test_the_digest_sees_content_split_and_classes():
    x, y = pair()
    digests = {
        from_tensors().digest,
        from_tensors(train=(x + 1e-6, y)).digest,
        from_tensors(train=(x, y.flip(0))).digest,
        from_tensors(val=pair(6, seed=2), test=pair(6, seed=1)).digest,
        from_tensors(classes=4).digest,
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((torch.zeros(5, 4), torch.zeros(4, dtype=torch.int64)), "train: 5 inputs x but 4 labels"),
        ((torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)), "train: the split is empty"),
        ((torch.full((2, 4), torch.nan), torch.tensor([0, 1])), "2 of 2 inputs contain NaN"),
        ((torch.full((2, 4), torch.inf), torch.tensor([0, 1])), "NaN or infinite"),
        ((torch.zeros(2, 4), torch.tensor([0.0, 1.0])), "must be integers"),
        ((torch.zeros(2, 4), torch.tensor([0, -1])), "label -1 is out of range"),
        ((torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.int64)), r"y has shape \(2, 3\)"),
        ((torch.zeros(2), torch.tensor([0, 1])), r"x has shape \(2,\)"),
        ((torch.zeros(2, 4),), "pair of tensors"),
        ((["a", "b"], [0, 1]), "pair of tensors"),
        ((torch.zeros(2, 4, dtype=torch.complex64), torch.tensor([0, 1])), "real numbers"),
    ],
)
def test_unusable_tensors_are_explained(train, message):
    with pytest.raises(DataError, match=message):
        from_tensors(train=train)


def test_splits_must_agree():
    with pytest.raises(DataError, match=r"val: inputs of shape \(5,\), but train has \(4,\)"):
        from_tensors(val=pair(6, width=5))
    with pytest.raises(DataError, match="test: label 3 is out of range for 3 classes"):
        from_tensors(test=pair(8, classes=4))


def dataset(**options):
    return TensorDataset(*pair(**options))


def test_small_data_sets_become_tensors():
    found = data.from_datasets(dataset(), dataset(n=6, seed=1), dataset(n=6, seed=2))
    assert isinstance(found.train, TensorSplit)
    assert found.digest == from_tensors().digest


def test_large_data_sets_stream_the_same_examples():
    sets = dataset(), dataset(n=6, seed=1), dataset(n=6, seed=2)
    found = data.from_datasets(*sets, classes=3, in_memory=10)
    assert isinstance(found.train, LoaderSplit)
    assert found.input_shape == (4,)
    assert torch.equal(next(found.train.batches(99))[0], pair()[0])
    again = data.from_datasets(*sets, classes=3, in_memory=10)
    assert again.digest == found.digest
    other = data.from_datasets(dataset(seed=5), *sets[1:], classes=3, in_memory=10)
    assert other.digest != found.digest


class Noisy(Dataset):
    """Its inputs differ at every reading, as under random augmentation."""

    classes = ("a", "b", "c")

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return torch.randn(4), i % 3


def test_random_augmentation_is_not_frozen():
    before = torch.get_rng_state()
    found = data.from_datasets(Noisy(), dataset(n=6), dataset(n=6))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(found.train, LoaderSplit)
    assert found.classes == 3
    assert found.digest == data.from_datasets(Noisy(), dataset(n=6), dataset(n=6)).digest


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(4), 0


class Words(Noisy):
    def __getitem__(self, i):
        return "word", i


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (Endless(), {}, "train: a data set with a length"),
        (TensorDataset(torch.zeros(0, 4), torch.zeros(0)), {}, "train: the split is empty"),
        (Words(), {}, r"train: item 0 is not \(tensor, label\)"),
        (dataset(), {"in_memory": 0}, "give classes="),
        (dataset(), {"in_memory": 0, "classes": 2}, "train: label 2 is out of range"),
        (dataset(width=5), {"in_memory": 0, "classes": 3}, "but train has"),
        (dataset(width=5), {}, "but train has"),
    ],
)
def test_unusable_data_sets_are_explained(train, options, message):
    with pytest.raises(DataError, match=message):
        data.from_datasets(train, dataset(n=6), dataset(n=6), **options)

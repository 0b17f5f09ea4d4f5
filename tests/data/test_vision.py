"""Reading torchvision's layouts, on small files written here; nothing is downloaded."""

import gzip
import pickle
import struct
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import cifar, mnist

from autocompress import data
from autocompress.errors import DataError


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist_root(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 20)):
        write_idx(raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)))
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    def fail(self):
        raise URLError("no network here")

    for module, name in ((mnist, "MNIST"), (cifar, "CIFAR10")):
        monkeypatch.setattr(getattr(module, name), "download", fail)


def test_mnist_keeps_its_test_set_and_gives_a_tenth_to_validation(mnist_root):
    found = data.load("mnist", root=mnist_root)
    assert [len(s) for s in (found.train, found.val, found.test)] == [54, 6, 20]
    assert found.input_shape == (1, 28, 28)
    assert found.test.y.tolist() == [i % 10 for i in range(20)]
    assert abs(float(found.train.x.mean())) < 1e-5
    assert abs(float(found.train.x.std(correction=0)) - 1) < 1e-5


@pytest.mark.parametrize("inside", ["MNIST", "MNIST/raw"])
def test_the_data_sets_own_folder_is_accepted(mnist_root, inside):
    assert (
        data.load("mnist", root=mnist_root / inside).digest
        == data.load("mnist", root=mnist_root).digest
    )


def test_the_root_can_come_from_the_environment(mnist_root, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_DATA", str(mnist_root))
    assert len(data.load("mnist").train) == 54


def test_one_changed_pixel_changes_the_digest(mnist_root):
    before = data.load("mnist", root=mnist_root).digest
    path = mnist_root / "MNIST/raw/t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert data.load("mnist", root=mnist_root).digest != before


def test_missing_data_says_what_where_and_what_to_do(tmp_path, no_network):
    root = tmp_path / "not" / "there"
    with pytest.raises(DataError) as caught:
        data.load("mnist", root=root)
    message = str(caught.value)
    for part in ("'mnist'", str(root / "MNIST"), "no network here", "--data-root", "torchvision"):
        assert part in message
    assert not (tmp_path / "not").exists()


def test_missing_cifar_is_told_the_same_way(tmp_path, no_network):
    with pytest.raises(DataError, match=r"cifar10.*cifar-10-batches-py.*--data-root"):
        data.load("cifar10", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_called_damaged(mnist_root, no_network):
    path = mnist_root / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        data.load("mnist", root=mnist_root)


def test_a_compressed_file_in_place_of_the_image_file_is_called_damaged(mnist_root, no_network):
    path = mnist_root / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="damaged"):
        data.load("mnist", root=mnist_root)


def test_a_label_out_of_range_is_found(mnist_root):
    write_idx(mnist_root / "MNIST/raw/t10k-labels-idx1-ubyte", np.full(20, 11))
    with pytest.raises(DataError, match=r"mnist \(test\): label 11 is out of range"):
        data.load("mnist", root=mnist_root)


def test_cifar_is_read_in_channels_and_augmented_in_training_only(tmp_path, monkeypatch):
    # stand-in files: torchvision would refuse them for their checksums
    monkeypatch.setattr(cifar, "check_integrity", lambda *args: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    red = np.zeros((20, 3, 32, 32), np.uint8)
    red[:, 0] = np.random.default_rng(0).integers(0, 256, (20, 32, 32))
    labels = [i % 10 for i in range(20)]
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    for name in (*batches, "test_batch"):
        entry = {"data": red.reshape(20, -1), "labels": labels}
        (folder / name).write_bytes(pickle.dumps(entry))
    meta = {"label_names": [str(i) for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta))

    found = data.load("cifar10", root=tmp_path)
    assert [len(s) for s in (found.train, found.val, found.test)] == [90, 10, 20]
    assert found.input_shape == (3, 32, 32)
    assert found.val.x[:, 0].std() > 0.9
    assert (found.val.x[:, 1:] == 0).all()  # a constant channel is only shifted
    assert data.load("cifar10", root=folder).digest == found.digest
    plain = {row.numpy().tobytes() for row in found.train.x}
    shuffled, _ = next(found.train.batches(90, generator=torch.Generator().manual_seed(0)))
    assert sum(row.numpy().tobytes() in plain for row in shuffled) < 20
    assert found.val.augment is None

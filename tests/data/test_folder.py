import pytest
import torch
from PIL import Image

from autocompress import data
from autocompress.data import LoaderSplit, TensorSplit, load_spec, own
from autocompress.errors import DataError


def fill(folder, per_class=10, names=("cat", "dog")):
    for shade, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            Image.new("RGB", (20, 12), (90 * shade, 10 * i, 0)).save(folder / name / f"{i}.png")


def load(root, **options):
    return data.load("image-folder", root=root, image_size=8, **options)


def sizes(found):
    return [len(found.train), len(found.val), len(found.test)]


def test_three_folders_are_three_splits(tmp_path):
    for part, n in (("train", 10), ("val", 3), ("test", 4)):
        fill(tmp_path / part, n)
    found = load(tmp_path)
    assert sizes(found) == [20, 6, 8]
    assert found.input_shape == (3, 8, 8)
    assert found.classes == 2
    assert isinstance(found.train, TensorSplit)
    assert load_spec(found.spec).digest == found.digest


@pytest.mark.parametrize("other", ["val", "test"])
def test_two_folders_take_validation_from_training(tmp_path, other):
    fill(tmp_path / "train")
    fill(tmp_path / other, 3)
    found = load(tmp_path)
    assert sizes(found) == [18, 2, 6]
    assert sorted(found.val.y.tolist()) == [0, 1]


def test_large_folders_stream(tmp_path, monkeypatch):
    fill(tmp_path / "train")
    fill(tmp_path / "test", 3)
    whole = load(tmp_path)
    monkeypatch.setattr(
        own.from_datasets, "__kwdefaults__", own.from_datasets.__kwdefaults__ | {"in_memory": 10}
    )
    streamed = load(tmp_path)
    assert isinstance(streamed.train, LoaderSplit)
    assert torch.equal(next(streamed.val.batches(9))[0], whole.val.x)


def test_bad_folders_are_explained(tmp_path):
    with pytest.raises(DataError, match="needs the folder: --data-root"):
        data.load("image-folder")
    fill(tmp_path / "train")
    with pytest.raises(DataError, match=r"has \['train'\]; needed"):
        load(tmp_path)
    fill(tmp_path / "test", names=("cat", "cow"))
    with pytest.raises(DataError, match="other classes"):
        load(tmp_path)
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="image-folder"):
        load(tmp_path)

import pytest
import torch
from torch.nn import functional

from autocompress.data.augment import CropFlip, Shift
from autocompress.errors import DataError


def test_every_image_is_a_crop_of_its_padded_self_possibly_mirrored():
    x = torch.randn(40, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    out = CropFlip(padding=2)(x, torch.Generator().manual_seed(1))
    padded = functional.pad(x, (2, 2, 2, 2))
    seen = set()
    for image, wide in zip(out, padded, strict=True):
        matches = {
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            if torch.equal(image, _crop(wide, top, left, flip))
        }
        assert len(matches) == 1
        seen |= matches
    assert len({top for top, _, _ in seen}) == 5
    assert len({left for _, left, _ in seen}) == 5
    assert {flip for _, _, flip in seen} == {True, False}


def _crop(wide, top, left, flip):
    crop = wide[:, top : top + 6, left : left + 5]
    return crop.flip(2) if flip else crop


def test_without_flip_and_padding_nothing_changes():
    x = torch.randn(4, 1, 3, 3)
    assert torch.equal(CropFlip(padding=0, flip=False)(x, torch.Generator()), x)


def test_every_image_is_moved_and_its_edge_repeated():
    x = torch.randn(60, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    out = Shift(2)(x, torch.Generator().manual_seed(1))
    padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    seen = set()
    for image, wide in zip(out, padded, strict=True):
        matches = {
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(image, _crop(wide, top, left, flip=False))
        }
        assert len(matches) == 1
        seen |= matches
    assert {top for top, _ in seen} == {left for _, left in seen} == set(range(5))


def test_no_pixels_change_nothing():
    x = torch.randn(4, 1, 3, 3)
    assert torch.equal(Shift(0)(x, torch.Generator()), x)


@pytest.mark.parametrize("pixels", [-1, 1.5, True])
def test_pixels_are_a_number_of_them(pixels):
    with pytest.raises(DataError, match=r"pixels = .* integer >= 0"):
        Shift(pixels)

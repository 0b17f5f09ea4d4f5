import torch
from torch.nn import functional

from autocompress.data.augment import CropFlip


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

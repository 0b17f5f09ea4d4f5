"""Entropy-coded files: exact, small, and as suspicious as the others."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from autocompress import compression as c
from autocompress.compression.pruning.prune import SparseCode
from autocompress.errors import MissingExtra, PackedFileError
from autocompress.metrics.size import size_report
from autocompress.plan import Plan, Task
from autocompress.recover.leaves import leaves as free
from autocompress.storage import PackedModel, container, dictionary, pack, read, write
from autocompress.storage.packed import pack_parts
from tests.storage.conftest import packed_model
from tests.storage.test_codec import SignCode
from tests.storage.test_packed import hollow, leaves

pytest.importorskip("constriction")


def lenet5(seed: int = 0) -> PackedModel:
    """Survivors as in a trained LeNet-5: few, in some rows and columns only, bell-shaped."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500))
    weights: list[Tensor] = []
    for shape, alive, scale in zip(
        shapes, (1.0, 0.9, 0.3, 0.7), (0.3, 0.1, 0.05, 0.2), strict=True
    ):
        weight = torch.randn(shape, generator=generator) * scale
        rows = torch.rand(shape[0], generator=generator) < max(alive, 0.9 if shape[0] < 30 else 0)
        columns = torch.rand(shape[1:], generator=generator) < alive
        weights.append(weight * rows.view(-1, *[1] * (len(shape) - 1)) * columns)
    biases = tuple(torch.randn(s[0], generator=generator) * 0.05 for s in shapes)
    schemes = [c.Compose([c.Prune(0.009), c.Codebook(16)]), c.Codebook(16)]
    names = ("conv1", "conv2", "fc1", "fc2")
    plan = Plan(
        Task(kind, [f"{name}.{kind}" for name in names], scheme)
        for kind, scheme in zip(("weight", "bias"), schemes, strict=True)
    )
    codes = {
        task.name: task.compression.project(tensors, mu=1.0)
        for task, tensors in zip(plan.tasks, (tuple(weights), biases), strict=True)
    }
    return PackedModel(plan, codes, {}, {"status": "finished", "step": 20})


def same(a: PackedModel, b: PackedModel) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(
        name == other and x.dtype == y.dtype and x.shape == y.shape and bits(x) == bits(y)
        for (name, x), (other, y) in pairs
    )


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def refused(tmp_path: Path, text: str, data: bytes, **options: Any) -> str:
    path = tmp_path / "forged.safetensors"
    path.write_bytes(container.build_coded(text, data))
    with pytest.raises(PackedFileError) as caught:
        read(path, **options)
    return str(caught.value)


def test_reading_gives_back_every_bit(packed: PackedModel, tmp_path: Path) -> None:
    size = write(tmp_path / "m", packed, entropy=True)
    assert size == (tmp_path / "m").stat().st_size < len(pack(packed))
    again = read(tmp_path / "m")
    assert same(again, packed)
    assert again.plan == packed.plan
    assert again.info == packed.info
    # codes are the very same, too: written plainly they give the plain file
    assert pack(again) == pack(packed)


def test_the_same_model_gives_the_same_bytes(packed: PackedModel) -> None:
    assert pack(packed, entropy=True) == pack(packed_model(), entropy=True)


def test_empty_models_and_empty_tensors(tmp_path: Path) -> None:
    model = PackedModel(Plan([]), {}, {"x": torch.zeros(0, 3), "s": torch.tensor(1.5)})
    write(tmp_path / "m", model, entropy=True)
    assert same(read(tmp_path / "m"), model)


def test_codes_without_streams_are_coded_all_the_same(tmp_path: Path) -> None:
    signs = (torch.rand(5000, generator=torch.Generator().manual_seed(0)) < 0.1).to(torch.int8)
    code = SignCode(0.5, signs)
    model = PackedModel(Plan([Task("a", ["w"], c.Dense())]), {"a": code}, {})
    whole, data = pack_parts(model, entropy=True)
    assert data < 5000 / 8 * 0.5
    (tmp_path / "m").write_bytes(whole)
    assert same(read(tmp_path / "m", [SignCode]), model)


def test_a_small_file_is_small(tmp_path: Path) -> None:
    """A LeNet-5 with about 3,900 of 431,080 weights: everything counts, the header too."""
    model = lenet5()
    whole, data = pack_parts(model, entropy=True)
    sparse = model.codes["weight"]
    assert isinstance(sparse, SparseCode)
    counts = np.bincount(sparse.inner.indices.numpy())  # type: ignore[attr-defined]
    values = counts.sum() * np.log2(counts.sum()) - counts[counts > 0] @ np.log2(counts[counts > 0])
    gaps = np.bincount(np.diff(sparse.index.numpy(), prepend=-1) - 1)
    gaps = gaps[gaps > 0]
    places = gaps.sum() * np.log2(gaps.sum()) - gaps @ np.log2(gaps)
    # better than the empirical entropy of gaps and indices, whose tables nobody has to send
    assert data < (places + values) / 8 + 2 * 64 + 580 / 2
    assert len(whole) - data < 220
    write(tmp_path / "m", model, entropy=True)
    assert same(read(tmp_path / "m"), model)


@pytest.mark.parametrize(
    "scheme",
    [
        c.BinaryScale(),
        c.TernaryScale(),
        c.PowersOfTwo(1),
        c.PowersOfTwo(3),
        c.Codebook(16),
        c.Codebook(64),
        c.Uniform(4),
        c.Uniform(8, symmetric=False),
    ],
    ids=lambda scheme: scheme.describe(),
)
def test_indices_and_levels_take_their_entropy(scheme: c.Compression) -> None:
    """Within 2 %, besides the numbers that are learned."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 100, generator=generator) ** 3
    code = scheme.project((weight,), mu=1.0)
    _, counts = np.unique(code.decode()[0].numpy(), return_counts=True)
    entropy = counts.sum() * np.log2(counts.sum()) - counts @ np.log2(counts)
    model = PackedModel(Plan([Task("a", ["w"], scheme)]), {"a": code}, {})
    _, data = pack_parts(model, entropy=True)
    numbers = 4 * sum(leaf.numel() for leaf in free(code))
    assert data <= 1.02 * entropy / 8 + numbers


def test_the_report_is_of_the_coded_file() -> None:
    model = lenet5()
    plain, coded = (size_report(model, 4 * 431_080, entropy=e) for e in (False, True))
    assert coded.bytes == len(pack(model, entropy=True)) < 0.7 * plain.bytes
    assert coded.ratio == 4 * 431_080 / coded.bytes
    assert coded.header_bytes < plain.header_bytes
    assert (coded.nonzeros, coded.lc_bytes) == (plain.nonzeros, plain.lc_bytes)


def test_any_safetensors_reader_opens_it(tmp_path: Path, packed: PackedModel) -> None:
    write(tmp_path / "m.safetensors", packed, entropy=True)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert file.metadata() == {"autocompress": "2"}
        assert list(file.keys()) == ["data"]


def test_the_dictionary_never_changes() -> None:
    """It is part of the format: with another one no file of version 2 can be read."""
    assert zlib.crc32(dictionary.WORDS) == DICTIONARY


DICTIONARY = 0x79DE0CB6


def test_reading_without_the_library_says_what_to_install(
    packed: PackedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "coded", packed, entropy=True)
    write(tmp_path / "plain", packed)
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert same(read(tmp_path / "plain"), packed)
    with pytest.raises(MissingExtra, match=r"pip install 'autocompress\[entropy\]'"):
        read(tmp_path / "coded")
    with pytest.raises(MissingExtra, match=r"constriction"):
        write(tmp_path / "other", packed, entropy=True)
    assert not (tmp_path / "other").exists()


# Files that are not what they should be ---------------------------------------------------------


def test_every_truncation_and_flipped_byte_is_refused(packed: PackedModel, tmp_path: Path) -> None:
    content = pack(packed, entropy=True)
    path = tmp_path / "m.safetensors"
    for position in range(0, len(content), 11):
        for damaged in (content[:position], flipped(content, position), content + b"\0" * 8):
            path.write_bytes(damaged)
            with pytest.raises(PackedFileError, match=r"m\.safetensors"):
                read(path)


def flipped(content: bytes, position: int) -> bytes:
    damaged = bytearray(content)
    damaged[position] ^= 0x55
    return bytes(damaged)


@pytest.mark.parametrize("version", ["1", "3", "", "x", None, 2])
def test_other_versions(tmp_path: Path, version: object) -> None:
    content = container.build_coded("{}", b"")
    (length,) = struct.unpack("<Q", content[:8])
    fields = json.loads(content[8 : 8 + length])
    fields["__metadata__"]["autocompress"] = version
    header = json.dumps(fields).encode()
    path = tmp_path / "m"
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(PackedFileError, match="newer"):
        read(path)


def test_no_forged_value_gets_past_as_another_exception(tmp_path: Path) -> None:
    """Every leaf of the text replaced by values of other types and sizes: an error or a model."""
    path = tmp_path / "m"
    write(path, packed_model(), entropy=True)
    content = container.load(path)
    fields = json.loads(content.text)
    del fields["info"]
    junk: list[Any] = [None, -1, 10**15, "x", [10**9, 10**9]]
    began = time.perf_counter()
    for leaf in leaves(fields):
        for value in junk:
            forged = json.loads(json.dumps(fields)) | {"info": {}}
            place = forged
            for key in leaf[:-1]:
                place = place[key]
            place[leaf[-1]] = value
            path.write_bytes(container.build_coded(json.dumps(forged), content.data))
            try:
                model = read(path, max_elements=10**6)
            except PackedFileError:
                continue
            assert model.state_dict().keys() == model.weights().keys() | model.rest.keys()
    assert time.perf_counter() - began < 300


def test_random_data_are_a_model_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, packed_model(), entropy=True)
    content = container.load(path)
    for seed in range(30):
        noise = np.random.default_rng(seed).integers(0, 256, 2000).astype(np.uint8).tobytes()
        path.write_bytes(container.build_coded(content.text, content.data[: 20 * seed] + noise))
        with pytest.raises(PackedFileError):
            read(path)


def test_terabytes_announced_by_a_few_bytes(tmp_path: Path) -> None:
    fields = hollow(10**6, 10**6)
    assert "announces 1000000000001" in refused(tmp_path, json.dumps(fields), b"")
    rest = hollow(2, 2) | {"rest": {"x": ["F32", [2**40]]}}
    assert "announces" in refused(tmp_path, json.dumps(rest), b"")
    # a buffer larger than any weights that the file has
    fields = hollow(2, 2)
    fields["codes"][0]["children"]["inner"]["tensors"] = {"flat": ["F32", 10**11]}
    assert "announces" in refused(tmp_path, json.dumps(fields), b"")


def test_many_tiny_tensors_take_no_longer_than_their_text(tmp_path: Path) -> None:
    shapes = [[2]] * 100_000
    fields = hollow(2, 2)
    fields["codes"] = [
        {
            "kind": "sparse",
            "meta": {"shapes": shapes, "count": 0, "rice": 0},
            "children": {
                "inner": {
                    "kind": "dense",
                    "meta": {"shapes": [[0]], "dtype": "float32"},
                    "tensors": {"flat": ["F32", 0]},
                }
            },
        }
    ]
    began = time.perf_counter()
    refused(tmp_path, json.dumps(fields), b"")
    assert time.perf_counter() - began < 60


def test_nothing_is_executed_and_nothing_imported(packed: PackedModel, tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, packed, entropy=True)
    content = container.load(path)
    fields = json.loads(content.text)
    fields["codes"][0]["kind"] = "antigravity:Code"
    fields["plan"]["tasks"][0]["compression"] = {"scheme": "antigravity:fly"}
    path.write_bytes(container.build_coded(json.dumps(fields), content.data))
    script = (
        "import sys; from autocompress.storage import read\n"
        "try: read(sys.argv[1])\n"
        "except ValueError as e: print(e)\n"
        "print('antigravity' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "unknown kind of code 'antigravity:Code'" in said
    assert said.endswith("False\n")

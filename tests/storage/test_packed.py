from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from autocompress import compression as c
from autocompress.errors import ConfigError, PackedFileError, PlanError
from autocompress.plan import Plan, Task
from autocompress.storage import PackedModel, container, pack, read, write
from autocompress.storage.packed import pack_parts
from tests.storage.conftest import packed_model


def text_of(model: PackedModel, tmp_path: Path) -> tuple[dict[str, Any], bytes]:
    path = tmp_path / "honest.safetensors"
    write(path, model)
    text, data = container.parse(path)
    return json.loads(text), data


def refused(tmp_path: Path, fields: object, data: bytes, **options: Any) -> str:
    """Write a file whose checksum is right but whose content is forged, and read it."""
    path = tmp_path / "forged.safetensors"
    path.write_bytes(container.build(json.dumps(fields), data))
    with pytest.raises(PackedFileError) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reading_gives_back_every_bit(packed: PackedModel, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write(path, packed)
    again = read(path)
    expected, actual = packed.state_dict(), again.state_dict()
    assert list(expected) == list(actual)
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype
        assert actual[name].shape == tensor.shape
        assert torch.equal(actual[name], tensor), name
    assert again.plan == packed.plan
    assert again.info == packed.info
    assert {k: v.bits() for k, v in again.codes.items()} == {
        k: v.bits() for k, v in packed.codes.items()
    }


def test_another_process_reads_the_same_bits(packed: PackedModel, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write(path, packed)
    script = (
        "import sys, zlib; from autocompress.storage import read\n"
        "for name, t in read(sys.argv[1]).state_dict().items():\n"
        "    raw = t.contiguous().reshape(-1).view(__import__('torch').uint8).numpy().tobytes()\n"
        "    print(name, t.dtype, tuple(t.shape), zlib.crc32(raw))\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = []
    for name, tensor in packed.state_dict().items():
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        lines.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {zlib.crc32(raw)}")
    assert printed.splitlines() == lines


def test_float_values_of_every_kind_survive(tmp_path: Path) -> None:
    values = [0.0, -0.0, 1e-45, -1e-45, 3.4e38, float("inf"), float("-inf")]
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        rest = {"x": torch.tensor(values, dtype=dtype), "scalar": torch.tensor(1.5, dtype=dtype)}
        write(tmp_path / "m", PackedModel(Plan([]), {}, rest))
        again = read(tmp_path / "m").rest
        assert again["x"].view(torch.uint8).tolist() == rest["x"].view(torch.uint8).tolist()
        assert again["scalar"].shape == ()
        assert again["scalar"].item() == 1.5


def test_float16_and_float64_weights(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        weight = torch.randn(20, 30).to(dtype)
        plan = Plan([Task("a", ["w"], c.Prune(0.2))])
        model = PackedModel(plan, {"a": c.Prune(0.2).project((weight,), mu=0.0)}, {})
        write(tmp_path / "m", model)
        decoded = read(tmp_path / "m").state_dict()["w"]
        assert decoded.dtype == dtype
        assert torch.equal(decoded, model.state_dict()["w"])


def test_write_returns_the_bytes_on_disk(packed: PackedModel, tmp_path: Path) -> None:
    count = write(tmp_path / "m", packed)
    assert count == (tmp_path / "m").stat().st_size == len(pack(packed))


def test_the_data_are_the_bits_rounded_up_to_bytes_per_buffer(packed: PackedModel) -> None:
    whole, data = pack_parts(packed)
    assert whole == pack(packed)
    bits = sum(code.bits() for code in packed.codes.values())
    rest = sum(t.numel() * t.element_size() for t in packed.rest.values())
    buffers = 10
    assert bits <= 8 * (data - rest) <= bits + 8 * buffers
    assert len(whole) > data


def test_the_same_model_gives_the_same_bytes_in_every_process() -> None:
    first = pack(packed_model())
    assert first == pack(packed_model())
    script = (
        "import zlib; from autocompress.storage import pack\n"
        "from tests.storage.conftest import packed_model; print(zlib.crc32(pack(packed_model())))"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert int(printed.stdout) == zlib.crc32(first)


def test_how_info_was_filled_does_not_show(packed: PackedModel) -> None:
    one = dataclasses.replace(packed, info={"a": 1, "b": {"c": 2, "d": (3,)}})
    two = dataclasses.replace(packed, info={"b": {"d": [3], "c": 2}, "a": 1})
    assert pack(one) == pack(two)


def test_info_that_is_not_finite_becomes_null(packed: PackedModel, tmp_path: Path) -> None:
    model = dataclasses.replace(packed, info={"loss": [float("nan"), float("inf"), 1.0]})
    write(tmp_path / "m", model)
    assert read(tmp_path / "m").info == {"loss": [None, None, 1.0]}


@pytest.mark.parametrize("value", [torch.zeros(1), {1, 2}, object(), {("a",): 1}])
def test_info_that_is_not_json_is_refused(packed: PackedModel, value: Any) -> None:
    with pytest.raises(ConfigError, match="must be JSON"):
        pack(dataclasses.replace(packed, info={"x": value}))


def test_dtypes_no_file_can_hold_are_refused() -> None:
    rest = {"x": torch.zeros(2, dtype=torch.complex64)}
    with pytest.raises(ConfigError, match=r"cannot hold torch\.complex64"):
        pack(PackedModel(Plan([]), {}, rest))


def test_what_does_not_fit_the_plan_is_refused(packed: PackedModel) -> None:
    with pytest.raises(PlanError, match="for the tasks"):
        dataclasses.replace(packed, codes={})
    with pytest.raises(PlanError, match=r"stored twice: 0\.weight"):
        dataclasses.replace(packed, rest={"0.weight": torch.zeros(1)})
    code = c.Dense().project((torch.ones(2),), mu=0.0)
    model = PackedModel(Plan([Task("a", ["x", "y"], c.Dense())]), {"a": code}, {})
    with pytest.raises(PlanError, match="2 parameters, its code decodes to 1"):
        model.state_dict()


def test_reading_leaves_nothing_of_the_file_alive(packed: PackedModel, tmp_path: Path) -> None:
    write(tmp_path / "m", packed)
    for tensor in read(tmp_path / "m").rest.values():
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        assert tensor.data_ptr() % tensor.element_size() == 0


# Files that are not what they should be ---------------------------------------------------------


def test_every_truncation_and_flipped_byte_is_refused(packed: PackedModel, tmp_path: Path) -> None:
    content = pack(packed)
    path = tmp_path / "m.safetensors"
    for position in range(0, len(content), 17):
        path.write_bytes(content[:position])
        with pytest.raises(PackedFileError, match=r"m\.safetensors"):
            read(path)
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(PackedFileError, match=r"m\.safetensors"):
            read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PackedFileError, match="no such file"):
        read(tmp_path / "none")


EDITS: dict[str, Any] = {
    "plan": [None, [], {}, {"tasks": 3}, {"tasks": [{}]}, {"tasks": []}, "x"],
    "codes": [None, {}, [], [1, 2, 3, 4, 5], [{}] * 5, [[]] * 5],
    "rest": [None, [], {"w": 3}, {"w": ["F32"]}, {"w": ["F32", 3]}, {"w": ["F32", [-1]]},
             {"w": ["F32", [2**40]]}, {"w": ["X", [1]]}, {"w": [None, [1]]}, {"w": ["F32", [0.5]]},
             {"w": [["F32"], [1]]}, {"0.weight": ["F32", [0]]}, {}],
    "info": [None, [], 3],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in EDITS.items() for value in values]
)
def test_forged_fields(packed: PackedModel, tmp_path: Path, key: str, value: Any) -> None:
    fields, data = text_of(packed, tmp_path)
    refused(tmp_path, fields | {key: value}, data)


@pytest.mark.parametrize("fields", [None, [], "x", 3, {}, {"plan": {"tasks": []}}])
def test_forged_text(tmp_path: Path, fields: Any) -> None:
    refused(tmp_path, fields, b"")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"plan": NaN', "1" * 5000])
def test_text_that_is_not_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m"
    path.write_bytes(container.build(text, b""))
    with pytest.raises(PackedFileError):
        read(path)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON value that holds nothing else."""
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*path, i))]
    return [path]


def test_no_forged_value_gets_past_as_another_exception(tmp_path: Path) -> None:
    """Every leaf of the text replaced by values of other types and sizes: an error or a model."""
    fields, data = text_of(packed_model(), tmp_path)
    path = tmp_path / "forged"
    del fields["info"]
    junk: list[Any] = [None, -1, 3, 10**15, 0.5, "x", [], {}, [10**9, 10**9]]
    for leaf in leaves(fields):
        for value in junk:
            forged = json.loads(json.dumps(fields)) | {"info": {}}
            place = forged
            for key in leaf[:-1]:
                place = place[key]
            place[leaf[-1]] = value
            path.write_bytes(container.build(json.dumps(forged), data))
            try:
                model = read(path)
            except PackedFileError:
                continue
            assert model.state_dict().keys() == model.weights().keys() | model.rest.keys()


def test_buffers_beyond_the_data(packed: PackedModel, tmp_path: Path) -> None:
    fields, data = text_of(packed, tmp_path)
    assert "belong to nothing" in refused(tmp_path, fields, data + b"\0")
    assert "ends at byte" in refused(tmp_path, fields, data[:-1])


def hollow(*shape: int) -> dict[str, Any]:
    """A file's text that announces any number of weights with four bytes of data."""
    inner = {
        "kind": "dense",
        "meta": {"shapes": [[1]], "dtype": "float32"},
        "tensors": {"flat": ["F32", 1]},
    }
    code = {
        "kind": "codebook",
        "meta": {"shapes": [list(shape)], "size": 1},
        "tensors": {"indices": ["U8", 0]},
        "children": {"inner": inner},
    }
    plan = Plan([Task("a", ["w"], c.Codebook(1))])
    return {"plan": plan.to_dict(), "codes": [code], "rest": {}, "info": {}}


def test_terabytes_announced_by_a_few_bytes(tmp_path: Path) -> None:
    data = torch.ones(1).numpy().tobytes()
    assert "announces 1000000000001" in refused(tmp_path, hollow(10**6, 10**6), data)
    assert "announces 101" in refused(tmp_path, hollow(10, 10), data, max_elements=100)
    path = tmp_path / "m"
    path.write_bytes(container.build(json.dumps(hollow(10, 10)), data))
    assert torch.equal(read(path, max_elements=101).state_dict()["w"], torch.ones(10, 10))


def test_the_limit_is_for_all_tasks_together(tmp_path: Path) -> None:
    fields = hollow(10, 10)
    plan = Plan([Task(name, [name], c.Codebook(1)) for name in "abc"])
    # each task's own code is small enough
    forged = fields | {"plan": plan.to_dict(), "codes": fields["codes"] * 3}
    data = torch.ones(3).numpy().tobytes()
    assert "announces 303" in refused(tmp_path, forged, data, max_elements=302)


def test_unknown_kinds_are_never_looked_up(packed: PackedModel, tmp_path: Path) -> None:
    fields, data = text_of(packed, tmp_path)
    fields["codes"][0]["kind"] = "os.system"
    assert "unknown kind of code 'os.system'" in refused(tmp_path, fields, data)

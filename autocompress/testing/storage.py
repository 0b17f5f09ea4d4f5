"""The contract of a scheme's codes: what is stored is what was decoded, and as long as they say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autocompress.compression.base import Compression, Tensors, shapes_of
from autocompress.compression.extension.extensions import Unknown
from autocompress.compression.registry import name_of
from autocompress.plan import Plan, Task
from autocompress.storage import PackedModel, codec, read, write
from autocompress.testing.cases import SchemeCases, register, same

_CODER = importlib.util.find_spec("constriction") is not None


class StorageContract(SchemeCases):
    """What codes must be, in memory and in a packed file."""

    def test_codes_survive_json_and_tensors(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            node, tensors = codec.encode(code, "x")
            again = codec.decode(json.loads(json.dumps(node)), tensors, self._codes(scheme))
            assert same(again.decode(), code.decode()), scheme.describe()
            assert again.bits() == code.bits()

    def test_packed_files_give_back_every_bit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, (scheme, weights) in enumerate(self.cases()):
            register(monkeypatch, scheme)
            model = _packed(scheme, weights)
            for entropy in (False, True) if _CODER else (False,):
                write(tmp_path / f"{number}", model, entropy=entropy)
                again = read(tmp_path / f"{number}", self._codes(scheme))
                decoded = tuple(again.weights().values())
                assert same(decoded, model.codes["task"].decode()), scheme.describe()
                assert again.plan == model.plan

    def test_bits_are_what_the_buffers_take(self) -> None:
        for scheme, weights in self.cases():
            code = scheme.project(weights, mu=1.0)
            buffers = codec.encode(code, "x")[1].values()
            stored = sum(8 * b.numel() * b.element_size() for b in buffers)
            # each buffer is rounded up to whole bytes
            assert code.bits() <= stored < code.bits() + 8 * max(len(buffers), 1), scheme.describe()

    def test_estimates_hold(self) -> None:
        """Of float32 weights that are all different; exact ones to the bit."""
        for scheme, weights in self.cases():
            estimate = scheme.estimate(shapes_of(weights))
            flat = torch.cat([w.reshape(-1) for w in weights])
            if estimate is not None and flat.dtype == torch.float32 and _all_different(flat):
                bits, found = scheme.project(weights, mu=1.0).bits(), estimate.bits
                assert found.low <= found.value <= found.high, scheme.describe()
                assert found.low <= bits <= found.high, scheme.describe()

    def test_damaged_codes_are_refused(self) -> None:
        for scheme, weights in self.cases():
            node, tensors = codec.encode(scheme.project(weights, mu=1.0), "x")
            for name in tensors:
                others = {k: v for k, v in tensors.items() if k != name}
                with pytest.raises(ValueError, match=r"."):
                    codec.decode(node, others, self._codes(scheme)).decode()
            for name, tensor in tensors.items():
                if tensor.numel():
                    damaged = tensors | {name: tensor[:-1]}
                    with pytest.raises(ValueError, match=r"."):
                        codec.decode(node, damaged, self._codes(scheme)).decode()

    def test_files_can_be_read_without_the_scheme(self, tmp_path: Path) -> None:
        """Whoever is sent a packed file needs its codes, not the scheme that made them."""
        for number, (scheme, weights) in enumerate(self.cases()):
            if ":" not in name_of(type(scheme)):
                continue
            model = _packed(scheme, weights)
            write(tmp_path / f"{number}", model)
            again = read(tmp_path / f"{number}", self._codes(scheme))
            assert isinstance(again.plan.tasks[0].compression, (Unknown, type(scheme)))
            assert again.plan.to_dict() == model.plan.to_dict()
            assert same(tuple(again.weights().values()), tuple(model.weights().values()))


def _packed(scheme: Compression, weights: Tensors) -> PackedModel:
    names = tuple(f"p{i}" for i in range(len(weights)))
    code = scheme.project(weights, mu=1.0)
    return PackedModel(Plan([Task("task", names, scheme)]), {"task": code}, {})


def _all_different(flat: Tensor) -> bool:
    return bool(torch.unique(flat).numel() == flat.numel())

from __future__ import annotations

import torch

from autocompress.metrics import fingerprint


def test_the_machine_is_described() -> None:
    described = fingerprint()
    assert set(described) == {"cpu", "cores", "threads", "system", "python", "torch"}
    assert all(described.values())
    assert int(described["cores"]) >= 1
    assert described["threads"] == str(torch.get_num_threads())
    assert described["torch"] == torch.__version__


def test_an_accelerator_is_named() -> None:
    assert fingerprint("mps")["gpu"] == "mps"

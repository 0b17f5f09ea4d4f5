from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import autocompress as ac
from autocompress.recover.leaves import leaves, rebuilt


def digits(seed: int = 0) -> ac.data.Data:
    """A little problem that a linear model can learn: four classes by position of the maximum."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(600, 4, 8, generator=generator)
    y = x.sum(2).argmax(1)
    parts = [(x[a:b], y[a:b]) for a, b in ((0, 400), (400, 500), (500, 600))]
    return ac.data.from_tensors(train=parts[0], val=parts[1], test=parts[2])


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(32, 24),
        torch.nn.BatchNorm1d(24),
        torch.nn.ReLU(),
        torch.nn.Linear(24, 4),
    )


PLANS = {
    "prune": ac.Prune(0.3),
    "codebook": ac.Codebook(4),
    "low rank": ac.LowRank(2),
    "compose": ac.Compose([ac.Prune(0.3), ac.Codebook(6), ac.Cast("float16")]),
    "additive": ac.Additive([ac.Codebook(2), ac.Prune(0.1)]),
}


def direct(scheme: ac.Compression, data: ac.data.Data) -> ac.Compressed:
    plan = ac.Plan([ac.Task("all", ["1.weight", "4.weight"], scheme)])
    return ac.compress(network().eval(), plan, ac.Direct(), data)


@pytest.mark.parametrize("name", PLANS)
def test_the_loss_falls_and_decisions_stay(name: str) -> None:
    data = digits()
    before = direct(PLANS[name], data)
    copy = [t.clone() for t in before.codes["all"].decode()]
    after = ac.finetune(before, data, epochs=8, optimizer=ac.SGD(lr=0.05), batch_size=32)
    assert after.evaluate(data.val).accuracy > before.evaluate(data.val).accuracy + 0.1
    assert after.codes["all"].bits() == before.codes["all"].bits()
    for old, kept, new in zip(
        before.codes["all"].decode(), copy, after.codes["all"].decode(), strict=True
    ):
        assert torch.equal(old, kept)  # the one it started from is left alone
        assert not torch.equal(old, new)
        if name in ("prune", "compose"):
            assert torch.equal(old == 0, new == 0)
        if name in ("codebook", "compose"):
            assert new.unique().numel() <= old.unique().numel()
        if name == "low rank":
            assert torch.linalg.matrix_rank(new, rtol=1e-4) == 2
    weights = dict(after.model.named_parameters())
    assert torch.equal(weights["1.weight"], after.codes["all"].decode()[0])
    assert not torch.equal(weights["2.bias"], before.model.state_dict()["2.bias"])


def test_numbers_stored_in_16_bits_are_rounded() -> None:
    data = digits()
    after = ac.finetune(direct(PLANS["compose"], data), data, epochs=2, batch_size=32)
    (decoded, _) = after.codes["all"].decode()
    assert torch.equal(decoded.half().float(), decoded)
    reals = after.codes["all"].reals()[0]
    assert torch.equal(reals.half().float(), reals)


def test_it_never_gets_worse_on_validation_data_and_is_deterministic() -> None:
    data = digits()
    before = direct(PLANS["prune"], data)
    wild = ac.SGD(lr=1e4)
    after = ac.finetune(before, data, epochs=2, optimizer=wild)
    assert after.evaluate(data.val).accuracy >= before.evaluate(data.val).accuracy
    twice = [ac.finetune(before, data, epochs=2, seed=3).codes["all"].decode() for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*twice, strict=True))


def test_epochs_are_reported_and_the_result_packs(tmp_path: Path) -> None:
    data = digits()
    seen: list[int] = []
    after = ac.finetune(
        direct(PLANS["additive"], data), data, epochs=3, on_epoch=lambda n, _: seen.append(n)
    )
    assert seen == [1, 2, 3]
    after.save(tmp_path / "m.safetensors")
    again = ac.load(tmp_path / "m.safetensors", network())
    example = data.example(5)
    assert torch.equal(again.model(example), after.model(example))


def test_leaves_can_be_put_back() -> None:
    code = PLANS["compose"].project((torch.randn(6, 5),), mu=1.0)
    values = leaves(code)
    assert [v.dtype for v in values] == [torch.float32]
    same = rebuilt(code, values, rounded=True)
    assert _equal(same.decode(), code.decode())
    doubled = rebuilt(code, [2 * v for v in values], rounded=False)
    assert _equal(doubled.decode(), tuple(2 * d for d in code.decode()))


def test_nothing_to_train_is_an_error() -> None:
    data = digits()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 4)).requires_grad_(False)
    with pytest.raises(ac.errors.ModelError, match="no numbers left to train"):
        ac.finetune(ac.compress(model, ac.Plan([]), ac.Direct(), data), data, epochs=1)


def _equal(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

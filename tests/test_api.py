"""compress(): one plan, checkpoints, packed files, realized modules."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.data import Data
from autocompress.errors import ModelError, PackedFileError

RECIPE = ac.LC(
    mu=ac.MuSchedule(start=1e-2, factor=1.5, steps=4),
    optimizer=ac.SGD(lr=0.05),
    batch_size=64,
)
MIXED = ac.Plan(
    [
        ac.Task("conv", ["conv*.weight"], ac.StructurePrune(density=0.75)),
        ac.Task("fc1", ["fc1.weight"], ac.LowRank(rank=8)),
        ac.Task(
            "fc2", ["fc2.weight"], ac.Compose([ac.Prune(0.5), ac.Codebook(4), ac.Cast("float16")])
        ),
    ]
)


@pytest.fixture(scope="module")
def result(digits: Data, digits_cnn: nn.Module) -> ac.Compressed:
    return ac.compress(digits_cnn, MIXED, RECIPE, digits)


def test_the_chosen_step_is_the_one_that_evaluates(result: ac.Compressed, digits: Data) -> None:
    best = max(result.history, key=lambda r: (r.val_accuracy, -r.val_loss))
    assert result.best_step == best.step
    assert result.evaluate(digits.val).accuracy == pytest.approx(best.val_accuracy)


def test_a_packed_file_is_the_size_and_reloads_exactly(
    result: ac.Compressed, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    assert result.save(path) == path.stat().st_size == result.size.bytes
    again = ac.load(path, digits_cnn)
    for ours, theirs in zip(
        result.model.state_dict().items(), again.model.state_dict().items(), strict=True
    ):
        assert ours[0] == theirs[0]
        assert torch.equal(ours[1], theirs[1])
    assert (again.plan, again.recipe, again.status) == (result.plan, result.recipe, result.status)
    assert again.size == result.size
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_the_realized_module_is_smaller_and_computes_the_same(
    result: ac.Compressed, digits: Data, digits_cnn: nn.Module
) -> None:
    x, _ = next(iter(digits.val.batches(50)))
    realized = result.realize()
    with torch.no_grad():
        torch.testing.assert_close(realized(x), result.model(x), rtol=1e-4, atol=1e-4)
    count = [sum(p.numel() for p in m.parameters()) for m in (realized, digits_cnn)]
    assert count[0] < 0.6 * count[1]


def test_a_result_is_described_in_a_line(
    result: ac.Compressed, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    accuracy = 100 * result.history[result.best_step].val_accuracy
    whole = f"DigitsCNN: conv, fc1, fc2, {result.status}, step {result.best_step}"
    assert repr(result) == f"Compressed({whole}, val accuracy {accuracy:.2f} %)"
    result.save(tmp_path / "m.safetensors")
    assert repr(ac.load(tmp_path / "m.safetensors", digits_cnn)) == f"Compressed({whole})"


def test_history_is_a_table(result: ac.Compressed) -> None:
    frame = pd.DataFrame(result.history)
    assert list(frame["step"]) == [0, 1, 2, 3, 4]
    assert {"mu", "violation", "val_accuracy", "bits"} <= set(frame.columns)


def test_a_stopped_run_continues_from_its_checkpoint_bit_for_bit(
    result: ac.Compressed, digits: Data, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    steps: list[int] = []

    def stop_at_two(record: ac.lc.StepRecord) -> bool:
        steps.append(record.step)
        return record.step == 2

    first = ac.compress(digits_cnn, MIXED, RECIPE, digits, on_step=stop_at_two, checkpoint=path)
    assert first.status == "stopped"
    torch.manual_seed(1234)  # must not matter
    again = ac.compress(
        digits_cnn, MIXED, RECIPE, digits, on_step=lambda r: steps.append(r.step), checkpoint=path
    )
    assert steps == [0, 1, 2, 3, 4]
    assert again.best_step == result.best_step
    for ours, theirs in zip(
        result.model.state_dict().values(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(
    digits: Data, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    ac.compress(digits_cnn, MIXED, ac.Direct(), digits, checkpoint=path)
    with pytest.raises(PackedFileError, match="belongs to another"):
        ac.compress(digits_cnn, ac.Plan([]), ac.Direct(), digits, checkpoint=path)
    other = ac.models.load("digits-cnn", digits, pretrained=False, seed=9)
    with pytest.raises(PackedFileError, match="belongs to another"):
        ac.compress(other, MIXED, ac.Direct(), digits, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PackedFileError, match="not a readable"):
        ac.compress(digits_cnn, MIXED, ac.Direct(), digits, checkpoint=path)


def test_the_same_seed_repeats_and_the_global_generator_is_left_alone(
    digits: Data, digits_cnn: nn.Module
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    runs = [ac.compress(digits_cnn, MIXED, RECIPE, digits, seed=s) for s in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    losses = [[r.train_loss for r in run.history] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_models_that_do_not_fit_the_data(digits: Data) -> None:
    with pytest.raises(ModelError, match=r"does not take inputs of shape \(1, 8, 8\)"):
        ac.compress(nn.Linear(5, 10), ac.Plan([]), ac.Direct(), digits)
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(ModelError, match="for 10 classes"):
        ac.compress(wrong, ac.Plan([]), ac.Direct(), digits)
    with pytest.raises(ModelError, match="needs data"):
        ac.compress(wrong, ac.Plan([]))


def test_loading_into_another_architecture_names_what_differs(
    result: ac.Compressed, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    result.save(path)
    with pytest.raises(PackedFileError, match="has the parameter"):
        ac.load(path, nn.Linear(3, 2))

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError
from autocompress.metrics import LatencyReport, LatencySettings, measure_latency

QUICK = LatencySettings(samples=20, seconds=0.0, warmup_seconds=0.05)


def mlp(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(nn.Linear(1024, width), *layers).eval()


@pytest.fixture(scope="module")
def small_against_large() -> LatencyReport:
    return measure_latency(mlp(100), mlp(1024), torch.zeros(1, 1024))


def test_a_network_a_hundred_times_smaller_is_faster(small_against_large: LatencyReport) -> None:
    report = small_against_large
    assert report.ratio < 0.8
    assert report.faster
    assert report.compressed.p50 < report.reference.p50
    assert report.ratio_low <= report.ratio <= report.ratio_high < 1


def test_the_report_says_how_it_was_measured(small_against_large: LatencyReport) -> None:
    report = small_against_large
    assert report.samples >= 10  # fewer than asked where the machine is busy
    assert report.batch_size == 1
    assert report.threads == 1
    assert report.hardware["threads"] == "1"
    for side in (report.compressed, report.reference):
        assert 0 < side.p50 <= side.p90 <= side.p99
    # a call of the small network takes well below 0.1 ms, one of the large more than it
    assert report.repeats[0] >= report.repeats[1] >= 1
    assert json.loads(json.dumps(report.to_dict()))["faster"] is True


def test_a_larger_network_is_not_faster() -> None:
    report = measure_latency(mlp(1024), mlp(100), torch.zeros(1, 1024), QUICK)
    assert report.ratio > 1
    assert not report.faster


class Spy(nn.Module):
    """Notes how it is called; copies share the notes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.notes: list[tuple[tuple[int, ...], int, bool, bool]] = []

    def __deepcopy__(self, memo: dict[int, object]) -> Spy:
        copy = Spy()
        copy.notes = self.notes
        return copy

    def forward(self, x: Tensor) -> Tensor:
        note = (tuple(x.shape), torch.get_num_threads(), x.is_inference(), self.training)
        self.notes.append(note)
        out: Tensor = self.dropout(self.linear(x))
        return out


def test_the_conditions_are_those_asked_for_and_put_back() -> None:
    spy, before = Spy().train(), torch.get_num_threads()
    settings = QUICK.model_copy(update={"batch_size": 3, "threads": before + 1})
    report = measure_latency(spy, nn.Linear(4, 4), torch.zeros(1, 4), settings)
    assert set(spy.notes) == {((3, 4), before + 1, False, False)}
    assert torch.get_num_threads() == before == int(report.hardware["threads"]) - 1
    assert spy.training
    assert spy.dropout.training


def test_threads_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        measure_latency(
            nn.Linear(5, 5), nn.Linear(4, 4), torch.zeros(1, 4), LatencySettings(threads=before + 1)
        )
    assert torch.get_num_threads() == before


def test_token_inputs_are_repeated() -> None:
    example = torch.tensor([[1, 2, 3]])
    report = measure_latency(
        nn.Embedding(4, 2),
        nn.Embedding(4, 2),
        example,
        LatencySettings(batch_size=2, samples=10, seconds=0),
    )
    assert report.samples == 10


@pytest.mark.parametrize("bad", [{"samples": 0}, {"threads": 0}, {"seconds": -1.0}, {"batch": 2}])
def test_bad_settings_are_told(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LatencySettings(**bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_calls_are_waited_for() -> None:
    large = nn.Sequential(*(nn.Linear(8192, 8192) for _ in range(4))).cuda()
    small = nn.Linear(8192, 8).cuda()
    example = torch.zeros(1, 8192, device="cuda")
    report = measure_latency(small, large, example, QUICK.model_copy(update={"batch_size": 1024}))
    assert report.ratio < 0.2  # without waiting both would take as long as launching them
    assert "gpu" in report.hardware

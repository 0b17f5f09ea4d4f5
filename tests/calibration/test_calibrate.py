"""Statistics against the obvious slow versions; cache; errors before any training."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import autocompress as ac
from autocompress import data as ac_data
from autocompress.calibration import Statistics, cache, calibrate, fisher, moments
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.data import Data
from autocompress.data.split import TensorSplit
from autocompress.errors import (
    AutocompressWarning,
    ConfigError,
    DataError,
    ModelError,
    UnknownName,
)

SIDE = 7


class Odd(nn.Module):
    """Every kind of convolution there is, a batch norm, in-place functions, a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 6, (3, 2), padding="same", dilation=(1, 2), groups=2)
        self.mirrored = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect", groups=6)
        self.along = nn.Conv1d(6, 5, 3, stride=2, padding=2)
        self.mix = nn.Linear(5, 5)  # at every position
        self.norm = nn.LayerNorm(5)
        self.spare = nn.Linear(3, 3)
        self.twice = nn.Linear(5, 5)
        self.frozen = nn.Linear(5, 4)
        self.frozen.requires_grad_(False)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn(self.stem(x)))
        x = F.relu_(self.grouped(x))
        x = self.along(input=self.mirrored(x).flatten(2))
        x = self.norm(torch.tanh(self.mix(x.transpose(1, 2)))).mean(1)
        x = self.twice(torch.tanh(self.twice(x)))
        return self.out(torch.tanh(self.frozen(x)))


def make_data(x: Tensor, classes: int = 3) -> Data:
    y = torch.arange(len(x)) % classes
    return ac_data.from_tensors(train=(x, y), val=(x[:classes], y[:classes]), test=(x[:3], y[:3]))


@pytest.fixture(scope="module")
def odd_data() -> Data:
    generator = torch.Generator().manual_seed(1)
    return make_data(torch.randn(24, 2, SIDE, SIDE, generator=generator))


@pytest.fixture(scope="module")
def odd(odd_data: Data) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Odd()
        model.train()
        model(next(iter(odd_data.train.batches(24)))[0])  # running statistics of its own
        with torch.no_grad():
            for param in model.bn.parameters():
                param.add_(0.1 * torch.randn(param.shape))
    return model.eval()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    cache.forget()
    yield
    cache.forget()


def slow_fisher(model: nn.Module, data: Data) -> dict[str, Tensor]:
    """One example, one backward pass, at a time."""
    model = copy.deepcopy(model).requires_grad_().eval()
    params = dict(model.named_parameters())
    totals = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in params.items()}
    x, y = next(iter(data.train.batches(len(data.train))))
    for n in range(len(x)):
        model.zero_grad()
        F.cross_entropy(model(x[n : n + 1]), y[n : n + 1]).backward()
        for name, param in params.items():
            if param.grad is not None:
                totals[name] += param.grad.double().square()
    return {name: total / len(x) for name, total in totals.items()}


def inputs_of(model: nn.Module, name: str, data: Data) -> Tensor:
    """All inputs a layer sees."""
    found: list[Tensor] = []
    layer = model.get_submodule(name)

    def keep(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        found.append((args[0] if args else kwargs["input"]).detach().clone())

    handle = layer.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad():
        model(next(iter(data.train.batches(len(data.train))))[0])
    handle.remove()
    return torch.cat(found)


LAYERS = ("stem", "grouped", "mirrored", "along", "mix", "frozen", "out")


def test_fisher_equals_one_backward_pass_per_example(odd: nn.Module, odd_data: Data) -> None:
    names = [n for n, _ in odd.named_parameters() if not n.startswith("spare")]
    before = {n: v.clone() for n, v in odd.state_dict().items()}
    odd.train()
    rng = torch.get_rng_state()
    ours = calibrate(odd, {"fisher": names}, odd_data, batch_size=7, cache=False)
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(m.training for m in odd.modules())
    odd.eval()
    theirs = slow_fisher(odd, odd_data)
    for name in names:
        value = ours.values["fisher"][name]
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, theirs[name], rtol=2e-4, atol=1e-12, msg=name)
        assert value.sum() > 0
    assert not odd.frozen.weight.requires_grad
    assert all(p.grad is None for p in odd.parameters())
    assert all(torch.equal(v, before[n]) for n, v in odd.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in odd.modules())


def test_fisher_of_ordinary_layers_needs_no_loop(
    odd: nn.Module, odd_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fisher, "one_by_one", None)
    names = ["stem.weight", "bn.weight", "bn.bias", "grouped.bias", "mix.weight", "out.bias"]
    calibrate(odd, {"fisher": names}, odd_data, cache=False)


@pytest.mark.parametrize("kind", ["fisher", "activations", "covariance"])
def test_streaming_equals_one_batch(
    odd: nn.Module, odd_data: Data, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {kind: [f"{name}.weight" for name in LAYERS if "ed" not in name]}
    whole = calibrate(odd, needs, odd_data, cache=False)
    monkeypatch.setattr(moments, "_CHUNK", 50)
    monkeypatch.setattr(fisher, "_CHUNK", 50)
    parts = calibrate(odd, needs, odd_data, batch_size=5, cache=False)
    for name, value in whole.values[kind].items():
        torch.testing.assert_close(parts.values[kind][name], value, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", LAYERS)
def test_moments_equal_those_of_unfolded_inputs(odd: nn.Module, odd_data: Data, name: str) -> None:
    layer = odd.get_submodule(name)
    rows = explicit_rows(layer, inputs_of(odd, name, odd_data))
    weight = f"{name}.weight"
    task = ac.Task("t", [weight], ac.Prune(0.5), weighting="activations")
    found = calibrate(odd, {"activations": [weight]}, odd_data, batch_size=7, cache=False)
    diagonal = found.weighting(task, odd)
    assert isinstance(diagonal, Diagonal)
    expected = rows.square().mean(1)  # (groups, in/groups * kernel)
    expected = expected.repeat_interleave(layer.weight.shape[0] // len(expected), 0)
    expected = (expected / expected.mean()).reshape(layer.weight.shape)
    torch.testing.assert_close(diagonal.values[0].double(), expected, rtol=1e-5, atol=1e-9)
    assert diagonal.values[0].shape == layer.weight.shape
    if len(rows) > 1:
        return
    raw = calibrate(odd, {"covariance": [weight]}, odd_data, batch_size=7, cache=False)
    product = rows[0].T @ rows[0] / rows.shape[1]
    torch.testing.assert_close(
        raw.values["covariance"][weight].double(), product, rtol=1e-4, atol=1e-6
    )


def explicit_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """``(groups, rows, in/groups * kernel)``: each output's inputs read off with unit weights."""
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1]).double()
    width = layer.weight[0].numel()
    columns = []
    for column in range(width):
        probe = copy.deepcopy(layer).double()
        probe.weight.data.zero_()
        probe.weight.data.reshape(len(layer.weight), -1)[:, column] = 1
        probe.bias = None
        with torch.no_grad():
            out = probe(x.double())
        first = out.reshape(len(x), layer.groups, -1, out[0, 0].numel())[:, :, 0]
        columns.append(first.transpose(0, 1).reshape(layer.groups, -1))
    return torch.stack(columns, 2)


def test_a_covariance_measures_the_change_of_the_outputs(odd: nn.Module, odd_data: Data) -> None:
    x = inputs_of(odd, "along", odd_data)
    error = torch.randn(odd.along.weight.shape, generator=torch.Generator().manual_seed(0))
    change = F.conv1d(x, error, None, odd.along.stride, odd.along.padding)
    found = calibrate(odd, {"covariance": ["along.weight"]}, odd_data, cache=False)
    matrix = found.values["covariance"]["along.weight"]
    rows = error.flatten(1)
    ours = float(((rows @ matrix) * rows).sum())
    assert ours == pytest.approx(float(change.square().sum(1).mean()), rel=1e-4)


def test_norms_of_tasks_have_mean_one_and_the_shapes_of_their_parameters(
    digits: Data, digits_cnn: nn.Module
) -> None:
    plan = ac.Plan(
        [
            ac.Task("convs", ["conv*.weight"], ac.StructurePrune(0.5), weighting="activations"),
            ac.Task("fcs", ["fc*"], ac.Prune(0.5), weighting="fisher"),
        ]
    ).resolve(digits_cnn)
    statistics = calibrate(digits_cnn, plan, digits, samples=64)
    assert statistics.settings["samples"] == 64
    params = dict(digits_cnn.named_parameters())
    found = statistics.weightings(plan, digits_cnn)
    for task in plan.tasks:
        norm = found[task.name]
        assert isinstance(norm, Diagonal)
        norm.check(tuple(tuple(params[n].shape) for n in task.params))
        assert float(norm.flat().mean()) == pytest.approx(1)
    # the relative scale of the parameters of one task is kept: a bias is multiplied with 1
    raw = statistics.values["activations"]["conv2.weight"]
    convs = found["convs"]
    assert isinstance(convs, Diagonal)
    weight, bias = convs.values[2][0], convs.values[3]
    torch.testing.assert_close((weight / bias[0]).double(), raw[0], rtol=1e-5, atol=1e-9)


def test_a_covariance_task(digits: Data, digits_cnn: nn.Module) -> None:
    weights = ("conv2.weight", "fc1.weight", "fc1.bias")
    found = calibrate(digits_cnn, {"covariance": weights}, digits, samples=100)
    task = dataclasses.replace(ac.Task("t", weights, ac.Dense()))
    object.__setattr__(task, "weighting", "covariance")
    norm = found.weighting(task, digits_cnn)
    assert isinstance(norm, Covariance)
    params = dict(digits_cnn.named_parameters())
    norm.check(tuple(tuple(params[n].shape) for n in weights))
    assert norm.matrices[2] is None
    total = sum(len(params[n]) * float(norm.matrices[i].trace()) for i, n in enumerate(weights[:2]))
    assert total == pytest.approx(sum(params[n].numel() for n in weights[:2]), rel=1e-5)
    assert all(float(torch.linalg.eigvalsh(m.double()).min()) > -1e-4 for m in norm.matrices[:2])


def test_a_second_measurement_comes_from_memory_then_from_the_folder(
    odd: nn.Module, odd_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {
        "fisher": ["out.weight", "norm.weight"],
        "activations": ["stem.weight"],
        "covariance": ["along.weight"],
    }
    first = calibrate(odd, needs, odd_data, cache=tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 4  # what is not measured with all layers at once has its own
    calls: list[int] = []
    handle = odd.register_forward_pre_hook(lambda *_: calls.append(1))
    for forget in (False, True):
        if forget:
            cache.forget()
        again = calibrate(odd, needs, odd_data, cache=tmp_path)
        assert not calls
        for kind, values in first.values.items():
            assert all(torch.equal(v, again.values[kind][n]) for n, v in values.items())
    # another layer was measured along with the first
    calibrate(odd, {"fisher": ["stem.weight"]}, odd_data, cache=tmp_path)
    assert not calls
    # other settings, other data, other weights: measured
    calibrate(odd, {"fisher": ["out.weight"]}, odd_data, samples=5, cache=tmp_path)
    assert calls
    calls.clear()
    changed = copy.deepcopy(odd)
    with torch.no_grad():
        changed.out.bias.add_(1)
    calibrate(changed, {"fisher": ["out.weight"]}, odd_data, cache=tmp_path)
    assert calls
    calls.clear()
    own = {"fisher": ["out.weight"]}
    for _ in range(2):  # a loss of one's own cannot be told from another: not kept
        calls.clear()
        doubled = calibrate(
            odd, own, odd_data, loss=lambda x, y: 2 * F.cross_entropy(x, y), cache=tmp_path
        )
        assert calls
    handle.remove()
    torch.testing.assert_close(
        doubled.values["fisher"]["out.weight"], 4 * first.values["fisher"]["out.weight"]
    )


def test_a_damaged_or_foreign_file_is_measured_again(
    odd: nn.Module, odd_data: Data, tmp_path: Path
) -> None:
    needs = {"activations": ["stem.weight"]}
    first = calibrate(odd, needs, odd_data, cache=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    whole = file.read_bytes()
    for damage in (whole[:40], b"", whole.replace(b"activations-", b"activationz-")):
        file.write_bytes(damage)
        cache.forget()
        with pytest.warns(AutocompressWarning, match="cannot be used"):
            again = calibrate(odd, needs, odd_data, cache=tmp_path)
        name = "stem.weight"
        assert torch.equal(again.values["activations"][name], first.values["activations"][name])
        assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_told(
    odd: nn.Module, odd_data: Data, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(AutocompressWarning, match="could not be kept"):
        calibrate(odd, {"activations": ["stem.weight"]}, odd_data, cache=tmp_path / "file")


def hold(folder: Path, ready: str, seconds: float) -> None:
    with cache.Cache(folder).lock("k"):
        Path(ready).touch()
        time.sleep(seconds)
        (folder / "done").touch()


def test_processes_wait_for_the_one_that_measures(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    ready = tmp_path / "ready"
    worker = multiprocessing.get_context("fork").Process(
        target=hold, args=(tmp_path, str(ready), 0.3)
    )
    worker.start()
    while not ready.exists():
        time.sleep(0.01)
    with cache.Cache(tmp_path).lock("k"):
        assert (tmp_path / "done").exists()
    worker.join()


@pytest.mark.parametrize(
    ("needs", "error", "message"),
    [
        ({"activations": ["spare.weight"]}, ModelError, r"'spare.weight'.*never calls it.*Leave"),
        ({"fisher": ["spare.weight"]}, ModelError, r"'spare.weight': the loss does not depend"),
        ({"covariance": ["twice.weight"]}, ModelError, r"'twice.weight'.*calls it 2 times"),
        ({"activations": ["twice.weight"]}, ModelError, r"'twice.weight'.*calls it 2 times"),
        ({"covariance": ["grouped.weight"]}, ModelError, r"2 groups.*'activations' or 'ident"),
        ({"hessian": ["out.weight"]}, UnknownName, r"calibration: unknown statistic 'hessian'"),
        ({"fisher": ["ouch.weight"]}, UnknownName, r"did you mean 'out.weight'"),
    ],
)
def test_what_cannot_be_measured_is_said(
    odd: nn.Module, odd_data: Data, needs: dict[str, list[str]], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(odd, needs, odd_data, cache=False)


def test_too_wide_a_layer_is_refused_before_anything_runs(
    odd: nn.Module, odd_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "MAX_WIDTH", 17)
    with pytest.raises(ModelError, match=r"'along.weight'.*18 inputs would need .* limit is 17"):
        calibrate(odd, {"covariance": ["along.weight"]}, odd_data, cache=False)


def test_bad_data_and_settings(odd: nn.Module, odd_data: Data) -> None:
    needs = {"fisher": ["out.weight"]}
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="samples"):
            calibrate(odd, needs, odd_data, samples=bad, cache=False)  # type: ignore[arg-type]
    empty = TensorSplit(torch.empty(0, 2, SIDE, SIDE), torch.empty(0, dtype=torch.int64))
    with pytest.raises(DataError, match="the training split has none"):
        calibrate(odd, needs, dataclasses.replace(odd_data, train=empty), cache=False)
    x, y = next(iter(odd_data.train.batches(24)))
    x = x.clone()
    x[13, 0, 2, 2] = float("nan")
    broken = dataclasses.replace(odd_data, train=TensorSplit(x, y), digest="broken")
    with pytest.raises(DataError, match="NaN or infinity"):
        calibrate(odd, needs, broken, cache=False)
    with pytest.raises(DataError, match="NaN or infinity"):
        calibrate(odd, {"covariance": ["out.weight"]}, broken, batch_size=4, cache=False)


def test_statistics_that_are_not_finite_name_the_layer(odd: nn.Module, odd_data: Data) -> None:
    broken = copy.deepcopy(odd)
    with torch.no_grad():
        broken.mix.bias[2] = float("nan")
    for kind in ("fisher", "activations", "covariance"):
        with pytest.raises(ModelError, match=rf"'{kind}'.*'out.weight': its .* not finite"):
            calibrate(broken, {kind: ["out.weight"]}, odd_data, cache=False)


def test_tied_weights_and_batch_statistics_take_the_slow_way(odd_data: Data) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2 * SIDE * SIDE, 3)
            self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3)
            self.c.weight = self.b.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.tanh(self.b(torch.tanh(self.a(x.flatten(1))))))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Tied()
    names = [n for n, _ in model.named_parameters()]
    found = calibrate(model, {"fisher": names}, odd_data, cache=False)
    theirs = slow_fisher(model, odd_data)
    for name in names:
        torch.testing.assert_close(found.values["fisher"][name], theirs[name], rtol=1e-4, atol=0)
    with pytest.raises(ModelError, match="its weight is shared by 'b' and 'c'"):
        calibrate(model, {"activations": ["b.weight"]}, odd_data, cache=False)


def test_a_layer_without_influence_is_compressed_without_weighting(odd_data: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        model[1].bias.fill_(-1e4)
    task = ac.Task("dead", ["3.weight"], ac.Prune(0.5), weighting="activations")
    found = calibrate(model, ac.Plan([task]), odd_data, cache=False)
    with pytest.warns(AutocompressWarning, match="'dead': .* zero throughout"):
        norm = found.weighting(task, model)
    assert isinstance(norm, Diagonal)
    assert torch.equal(norm.values[0], torch.ones(3, 4))
    wide = calibrate(model, {"covariance": ["3.weight"]}, odd_data, cache=False)
    object.__setattr__(task, "weighting", "covariance")
    with pytest.warns(AutocompressWarning, match="zero throughout"):
        norm = wide.weighting(task, model)
    assert isinstance(norm, Covariance)
    assert torch.equal(norm.matrices[0], torch.eye(4))


def test_what_was_not_measured_is_said(odd: nn.Module) -> None:
    task = ac.Task("t", ["out.weight"], ac.Prune(0.5), weighting="fisher")
    with pytest.raises(ModelError, match=r"'t': 'fisher' was not measured for 'out\.weight'"):
        Statistics({}).weighting(task, odd)
    assert Statistics({}).weighting(ac.Task("t", ["out.weight"], ac.Prune(0.5)), odd) is None

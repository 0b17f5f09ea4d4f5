import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("no Ray", allow_module_level=True)  # not imported here: that fixes its address

from autocompress.config import Sweep
from autocompress.errors import ConfigError
from autocompress.explore.record import Status
from autocompress.observer import Observer
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}
SPACE = {
    "layers": [{"match": "*", "schemes": [PRUNE]}],
    "recipe": {"mu": {"steps": 12}, "batch_size": 16},
}


@pytest.fixture(scope="module")
def ray():
    """A Ray of two made-up CPUs on loopback."""
    from autocompress.executors.ray.cluster import load_ray

    ray = load_ray(loopback=True)
    ours = not ray.is_initialized()
    if ours:
        options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(num_cpus=2, **options)
    yield ray
    if ours:
        ray.shutdown()


class Interrupt(Observer):
    """Stands in for Ctrl-C, after a certain step of a certain trial."""

    def __init__(self, number, step):
        super().__init__()
        self.at = (number, step)

    def step(self, number, record):
        if (number, record.step) == self.at:
            raise KeyboardInterrupt


@pytest.mark.exhaustive
@pytest.mark.parametrize("shared", [True, False], ids=["shared-folder", "storage"])
def test_a_run_goes_from_this_machine_to_ray_and_back(tmp_path, shared, ray):
    context = toy_context()
    toy = {"model": context.model, "data": context.data, "space": SPACE, "trials": 4, "jobs": 1}
    here = search(Sweep(**toy, out=tmp_path / "here")).records()

    out = tmp_path / "there"
    settings = {"max_concurrent": 1, "cpus_per_trial": 0.5}
    back = {}
    if not shared:
        back = {"storage_path": str(tmp_path / "storage")}
        settings |= back
    on_ray = toy | {"executor": "ray", "ray": settings}
    with pytest.raises(KeyboardInterrupt):
        search(Sweep(**toy, out=out), observer=Interrupt(1, 3))
    with pytest.raises(KeyboardInterrupt):
        search(Sweep(**on_ray, out=out), observer=Interrupt(2, 3))
    there = search(Sweep(**toy, out=out, ray=back)).records()
    assert {record.status for record in there} == {Status.COMPLETE}
    assert [(r.candidate, r.seed, r.metrics) for r in there] == [
        (r.candidate, r.seed, r.metrics) for r in here
    ]
    assert [r.course for r in there] == [r.course for r in here]  # no step told twice


def test_a_gpu_that_no_trial_is_given_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"ray\.gpus_per_trial"):
        Sweep(executor="ray", device="cuda")

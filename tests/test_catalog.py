import json
from pathlib import Path

import pytest

from autocompress import catalog, yamlio
from autocompress.compression import SCHEMES
from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.objectives import Objectives
from autocompress.explore.seeding import make_seeds
from autocompress.explore.space import SearchSpace
from autocompress.layers import find_layers
from autocompress.metrics import METRICS
from autocompress.models import build
from autocompress.recipe import Candidate
from tests.explore.toys import Random, Replay

SPACES = catalog.names(catalog.SPACES)
SETS = catalog.names(catalog.OBJECTIVES)


def test_the_ready_made_files_of_the_first_release_are_there():
    assert {
        "uniform-prune",
        "per-layer-prune",
        "quantize",
        "low-rank",
        "structured",
        "mixed",
    } <= set(SPACES)
    assert {"accuracy-size", "accuracy-flops", "accuracy-size-latency"} <= set(SETS)


@pytest.mark.parametrize(
    ("model", "shape"),
    [("lenet300", (1, 28, 28)), ("digits-cnn", (1, 8, 8)), ("resnet20", (3, 32, 32))],
)
@pytest.mark.parametrize("name", SPACES)
def test_every_ready_made_space_fits_every_kind_of_model(name, model, shape):
    net = build(model, input_shape=shape, classes=10)
    layers = find_layers(net)
    space = SearchSpace.load(name)
    space.check(layers)
    digests = set()
    for seed in range(10):
        chooser = Random(seed)
        candidate = space.sample(chooser, layers)
        digests.add(candidate.digest(net))  # resolves the plan: any misfit would raise
        assert space.sample(Replay(chooser.params), layers) == candidate
        stored = json.loads(json.dumps(candidate.to_dict()))
        assert Candidate.from_dict(stored) == candidate
    assert len(digests) > 5
    assert len(make_seeds(space, layers, 24)) == 6


def test_one_space_offers_every_scheme():
    def offered(data):
        inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else []
        own = {data["scheme"]} if isinstance(data, dict) and "scheme" in data else set()
        return own.union(*map(offered, inside))

    assert offered(SearchSpace.load("everything").to_dict()) == set(SCHEMES)


@pytest.mark.parametrize("name", SPACES)
def test_ready_made_spaces_are_documented_and_stored_whole(name):
    space = SearchSpace.load(name)
    assert space.name == name
    assert space.doc.endswith(".")
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize("name", SETS)
def test_ready_made_objectives_name_metrics_that_exist_and_their_directions(name):
    objectives = Objectives.load(name)
    assert objectives.name == name
    assert objectives.doc.endswith(".")
    for item in objectives.items:
        assert METRICS[item.metric].direction == item.direction
    resolved = objectives.resolve(dict.fromkeys(METRICS, 1.0), classes=10)
    assert resolved.resolved


def test_docs_are_those_of_the_files():
    docs = catalog.docs(catalog.SPACES)
    assert tuple(docs) == SPACES
    assert docs["mixed"] == SearchSpace.load("mixed").doc


def test_a_file_of_your_own_is_found_by_path(tmp_path, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text("layers: [{match: '*', schemes: [{scheme: dense}]}]\n")
    assert SearchSpace.load(file).name == "mine"
    assert SearchSpace.load(str(file)).name == "mine"
    monkeypatch.chdir(tmp_path)
    assert SearchSpace.load("mine.yaml").name == "mine"


def test_unknown_names_and_paths_are_told_clearly(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'mixed'"):
        catalog.find(catalog.SPACES, "mixd")
    with pytest.raises(ConfigError, match="there is no file"):
        catalog.find(catalog.SPACES, tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="there is no file"):
        catalog.find(catalog.OBJECTIVES, "mixed.yaml")


def test_a_wheel_carries_the_files_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "autocompress"
    inside = package / "_files" / catalog.SPACES
    inside.mkdir(parents=True)
    (inside / "only.yaml").write_text("doc: One.\n")
    monkeypatch.setattr(catalog, "__file__", str(package / "catalog.py"))
    assert catalog.names(catalog.SPACES) == ("only",)
    with pytest.raises(ConfigError, match="reinstall"):
        catalog.folder(catalog.OBJECTIVES)


def test_the_build_puts_exactly_the_catalog_into_the_wheel():
    root = Path(catalog.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    import tomllib

    build_settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = build_settings["targets"]["wheel"]["force-include"]
    assert included == {
        kind: f"autocompress/_files/{kind}" for kind in (catalog.SPACES, catalog.OBJECTIVES)
    }
    for kind in included:
        for path in catalog.folder(kind).iterdir():
            assert yamlio.load(path)["doc"]

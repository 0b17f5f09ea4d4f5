"""The examples of docs/spaces.md are real."""

import re
from pathlib import Path

import pytest

import autocompress as ac
from autocompress import yamlio
from autocompress.explore.objectives import Objectives
from autocompress.explore.space import SearchSpace
from tests.explore.toys import LAYERS, NET, REFERENCE, Random

PAGE = Path(__file__).resolve().parents[2] / "docs" / "spaces.md"
if not PAGE.is_file():
    pytest.skip("the documentation is not here", allow_module_level=True)
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_space_works_and_has_the_parameters_the_page_names():
    space = SearchSpace.from_dict(yamlio.loads(blocks("yaml")[0]))
    space.check(LAYERS)
    names = set()
    for seed in range(60):
        chooser = Random(seed)
        space.sample(chooser, LAYERS).plan.resolve(NET)
        names |= set(chooser.params)
    described = re.search(r"\*\*Parameters\*\*.*?\n\n", TEXT, re.DOTALL)
    assert described is not None
    named = [name for name in re.findall(r"`([^`]*)`", described[0]) if "." in name]
    assert len(named) == 4
    assert set(named) <= names


def test_the_objectives_work():
    objectives = Objectives.from_dict(yamlio.loads(blocks("yaml")[1]))
    assert objectives.resolve(REFERENCE, classes=10).resolved
    assert objectives["bytes"].limit == 20000


def test_the_python_example_works():
    scope = {"ac": ac}
    exec(blocks("python")[0], scope)
    scope["space"].check(LAYERS)

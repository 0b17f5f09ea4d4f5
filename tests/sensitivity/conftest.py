"""A small space on the digits network, and its sensitivity, shared by the tests of this folder."""

import pytest

from autocompress.explore.space import SearchSpace
from autocompress.sensitivity import Sensitivity, measure
from tests.explore.toys import space

TEXT = """
name: toy
layers:
  - match: "conv*"
    schemes:
      - {scheme: dense}
      - scheme: prune
        density: {low: 0.05, high: 0.5, log: true}
        weighting: {choice: [identity, fisher]}
  - match: "*"
    schemes:
      - {scheme: uniform, bits: {low: 2, high: 8}, per: {choice: [tensor, channel]}}
      - scheme: compose
        of:
          - {scheme: prune, density: {low: 0.02, high: 1.0, log: true}}
          - {scheme: uniform, bits: {low: 2, high: 8}}
recipe:
  mu: {start: auto, scale: {low: 0.3, high: 3, log: true}, factor: auto, steps: {low: 1, high: 3}}
"""


@pytest.fixture(scope="session")
def toy() -> SearchSpace:
    return space(TEXT)


@pytest.fixture(scope="session")
def table(toy, digits, digits_cnn) -> Sensitivity:
    return measure(digits_cnn, digits, toy, levels=4)

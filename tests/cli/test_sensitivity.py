import json

import pytest

from autocompress.cli.app import main

SPACE = """
layers:
  - match: "fc*"
    schemes:
      - {scheme: dense}
      - {scheme: prune, density: {low: 0.05, high: 0.5, log: true}}
"""


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["sensitivity", *map(str, arguments)])
    return end.value.code


def test_table_and_heat_map_are_written(tmp_path, digits_cnn, capsys):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    out = tmp_path / "out"
    code = run("--space", space, "--levels", 3, "--samples", 100, "--candidates", 5, "--out", out)
    assert code == 0
    names = {path.name for path in out.iterdir()}
    assert names == {f"sensitivity.{kind}" for kind in ("csv", "json", "png", "pdf")}
    data = json.loads((out / "sensitivity.json").read_text())
    assert len(data["rows"]) == 8
    assert len(data["pairs"]) == 1
    text = capsys.readouterr().out
    assert "Most sensitive layers: 2 of 2" in text
    assert "rank correlation" in text
    assert "fc1 and fc2" in text or "fc2 and fc1" in text


def test_a_space_that_does_not_fit_is_told_before_anything_is_trained(tmp_path, capsys):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.replace("fc*", "conv9"))
    assert run("--space", space, "--out", tmp_path) == 2
    assert "conv9" in capsys.readouterr().err

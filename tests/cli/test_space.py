import pytest

SPACE = """
layers:
  - match: "conv*"
    share: true
    name: filters
    schemes: [{scheme: dense}, {scheme: prune, density: {low: 0.1, high: 0.9}}]
  - {match: [fc1, conv1], schemes: [{scheme: codebook, k: {low: 2, high: 9}}]}
recipe: {mu: {steps: {low: 1, high: 10}}}
constraints: [filters.scheme == prune]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE)
    return path


def test_a_space_is_shown_with_what_it_misses(run, file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    said = run("space", file, "--samples", "4")
    assert said.code == 0, said.err
    for words in (
        "search space mine on digits-cnn",
        "the same choice",
        "S1: dense (1); prune (continuous)",
        "S2: codebook (8)",
        "1 + continuous",
        "size: 10^3.9 candidates: layers 10^2.9, recipes 10^1.0 (10), a continuous range counted",
        "constraint: filters.scheme == prune",
        "layers that stay dense: fc2 (linear)",
        "note: the pattern 'conv1' of layers[1] (fc1, conv1) is shadowed: its layers go to",
        "4 samples, untrained",
        "FLOPs",
        "uncompressed",
    ):
        assert words in said.out
    assert said.err == ""
    assert run("space", file, "--samples", "4").out == said.out


def test_no_data_files_are_needed(run, file, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCOMPRESS_DATA", str(tmp_path / "none"))
    said = run("space", "per-layer-prune", "--model", "lenet5", "--data", "mnist", "--samples", 1)
    assert said.code == 0, said.err
    assert "lenet5" in said.out
    assert not (tmp_path / "none").exists()


def test_what_is_wrong_is_one_line(run, file):
    file.write_text(SPACE.replace("[fc1, conv1]", "[fc7]"))
    said = run("space", file)
    assert said.code == 2
    assert said.err.startswith(f"error: {file}: layers[1].match: unknown layer 'fc7': did you mean")
    assert said.err.count("\n") == 1
    assert "unknown model" in run("space", file, "--model", "digits-cn").err
    assert "unknown data set" in run("space", file, "--data", "digit").err

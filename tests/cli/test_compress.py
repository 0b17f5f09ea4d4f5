import pytest

import autocompress as ac

PLAN = """
tasks:
  - {name: all, params: ["*.weight"], compression: {scheme: prune, density: 0.3}}
recipe: {mu: {steps: 2}}
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_compress_shows_steps_and_sizes_and_writes_the_file(run, plan, tmp_path, digits_cnn):
    out = tmp_path / "m.safetensors"
    said = run("compress", "--plan", plan, "--out", out)
    assert said.code == 0, said.err
    for step in (0, 1, 2):
        assert f"step   {step}" in said.out
    assert "test accuracy" in said.out
    assert "packed file" in said.out
    assert f"written: {out}" in said.out
    again = ac.load(out, digits_cnn)
    assert again.plan.tasks[0].compression == ac.Prune(density=0.3)


def test_a_composition_is_shown_with_its_parts(run, plan, tmp_path, digits_cnn):
    parts = "{scheme: compose, of: [{scheme: prune, density: 0.3}, {scheme: codebook, k: 4}]}"
    plan.write_text(PLAN.replace("{scheme: prune, density: 0.3}", parts))
    said = run("compress", "--plan", plan, "--out", tmp_path / "m.safetensors")
    assert said.code == 0, said.err
    assert "compose(of=[prune(density=0.3)" in said.out  # brackets are not markup


def test_a_trials_candidate_is_a_plan(run, finished, tmp_path):
    plan, out = finished / "trials" / "0001" / "candidate.yaml", tmp_path / "m.safetensors"
    said = run("compress", "--plan", plan, "--out", out, "--quiet")
    assert said.code == 0, said.err
    assert "step" not in said.out.split("best step")[0]
    assert out.stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("density: 0.3", "density: 0"), "density"),
        (("density: 0.3", "k: 3"), "unknown key"),
        (("*.weight", "*.wight"), "matches no layer"),
        (("prune", "prun"), "did you mean 'prune'"),
        (("steps: 2", "steps: none"), "steps"),
        (("tasks:", "task:"), "did you mean 'tasks'"),
    ],
)
def test_a_bad_plan_is_one_line_on_stderr(run, tmp_path, change, words):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace(*change))
    said = run("compress", "--plan", path, "--out", tmp_path / "m.safetensors", "-q")
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not (tmp_path / "m.safetensors").exists()


def test_an_out_that_is_a_folder_is_told_before_anything_long(run, plan, tmp_path):
    said = run("compress", "--plan", plan, "--out", tmp_path)
    assert said.code == 2
    assert said.err == f"error: --out {tmp_path}: is a folder; expected the name of a file\n"


def test_an_out_in_no_folder_is_told_before_anything_long(run, plan, tmp_path):
    said = run("compress", "--plan", plan, "--out", tmp_path / "no" / "m.safetensors")
    assert said.code == 2
    assert "there is no folder" in said.err

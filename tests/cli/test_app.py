import subprocess

import pytest

COMMANDS = ["search", "resume", "report", "best", "dashboard", "compress", "space", "list"]


def test_help_names_the_commands(run):
    said = run("--help")
    assert said.code == 0
    assert all(command in said.out for command in COMMANDS)


def test_without_a_command_there_is_help_and_no_error(run):
    said = run()
    assert said.code == 2
    assert "Usage" in said.out + said.err
    assert "error:" not in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(run, command):
    said = run(command, "--help")
    assert said.code == 0
    assert f"autocompress {command}" in said.out


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("models", ["digits-cnn", "lenet300", "module:factory"]),
        ("data", ["digits", "mnist", "image-folder"]),
        ("schemes", ["prune", "codebook", "low-rank"]),
        ("metrics", ["accuracy", "bytes", "latency"]),
        ("spaces", ["mixed", "uniform-prune"]),
        ("objectives", ["accuracy-size"]),
    ],
)
def test_list_names_and_explains(run, kind, expected):
    said = run("list", kind)
    assert said.code == 0, said.err
    # a scheme's fields stand indented under its line
    lines = [line for line in said.out.splitlines() if not line.startswith(" ")]
    rows = dict(line.split(maxsplit=1) for line in lines)
    assert set(expected) <= set(rows)
    assert all(len(text) > 10 for text in rows.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serach"], "Known are best, compress"),
        (["list", "colours"], "'kind': 'colours' is not one of 'models', 'data'"),
        (["best"], "run"),
    ],
)
def test_usage_errors_are_one_line_on_stderr(run, arguments, words):
    said = run(*arguments)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_the_module_runs_as_a_program(python):
    ended = subprocess.run([*python, "--version"], capture_output=True, text=True, timeout=60)
    assert ended.stdout.startswith("autocompress ")
    ended = subprocess.run([*python, "list", "spaces"], capture_output=True, text=True, timeout=60)
    assert "mixed" in ended.stdout


def test_help_does_not_wait_for_torch(python):
    code = "import sys; from autocompress.cli import app; print('torch' in sys.modules)"
    ended = subprocess.run(
        [python[0], "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "False"


def test_an_interrupt_where_there_is_nothing_to_resume_is_no_traceback(run, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("autocompress.models.describe", interrupted)
    said = run("list", "models")
    assert said.code == 130
    assert said.err == ""

import os
import signal
import subprocess
import time

import pytest

from autocompress import yamlio
from autocompress.explore.record import Status
from autocompress.explore.study import Study


def test_search_shows_each_trial_the_front_and_where_the_report_is(run, sweep_file, tmp_path):
    out = tmp_path / "run"
    said = run("search", sweep_file, "--out", out, "--trials", 2, "--seed", 3)
    assert said.code == 0, said.err
    assert said.err == ""
    assert "[2/2] trial 1 complete: accuracy" in said.out
    assert "Pareto front" in said.out
    assert f"report: {out}/report/index.html" in said.out
    stored = yamlio.load(out / "sweep.yaml")
    assert (stored["trials"], stored["seed"]) == (2, 3)
    with Study.load(out) as study:
        assert len(study.records()) == 2


def test_quiet_says_nothing(run, sweep_file, tmp_path):
    said = run("search", sweep_file, "--out", tmp_path / "run", "--trials", 1, "-q")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_flags_and_set_override_the_file(run, sweep_file, tmp_path):
    out = tmp_path / "run"
    options = ["--trials", 1, "--limit", "bytes=1MB", "--set", "latency.batch_size=4"]
    assert run("search", sweep_file, "--out", out, "-q", *options).code == 0
    stored = yamlio.load(out / "sweep.yaml")
    assert stored["limits"] == {"bytes": 1e6}
    assert stored["latency"]["batch_size"] == 4


def test_a_runs_own_sweep_file_starts_the_same_sweep_elsewhere(run, finished, tmp_path):
    out = tmp_path / "again"
    assert run("search", finished / "sweep.yaml", "--out", out, "-q").code == 0
    with Study.load(out) as here, Study.load(finished) as there:
        assert [r.metrics for r in here.records()] == [r.metrics for r in there.records()]


def test_an_occupied_out_says_how_to_resume_or_choose_another(run, finished, sweep_file):
    said = run("search", sweep_file, "--out", finished, "--seed", 5)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert f"autocompress resume {finished}" in said.err
    assert "--out" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "lenet30"], "did you mean 'lenet300'"),
        (["--data", "mnits"], "did you mean 'mnist'"),
        (["--space", "quantise"], "did you mean 'quantize'"),
        (["--space", "nowhere/space.yaml"], "there is no file"),
        (["--trials", "0"], "Sweep.trials = 0"),
        (["--sampler", "annealing"], "sampler"),
        (["--device", "cuda:99"], "device"),
        (["--limit", "bytes"], "KEY=VALUE"),
        (["--limit", "bytes=much"], "cannot read 'much'"),
        (["--limit", "weight=3"], "unknown metric 'weight'"),
        (["--set", "trails=3"], "did you mean 'trials'"),
        (["--set", "model.depth=3"], "has no keys"),
        (["--set", "latency.samples=[1"], "--set latency.samples"),
        (["--jobs", "many"], "--jobs"),
        (["--epochs", "3"], "--epochs"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_on_stderr(run, sweep_file, tmp_path, arguments, words):
    file = [] if arguments == ["nowhere.yaml"] else [sweep_file]
    said = run("search", *file, *arguments, "--out", tmp_path / "run")
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not (tmp_path / "run").exists()


def test_a_file_with_a_wrong_key_names_file_and_nearest_key(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("modle: digits-cnn\n")
    said = run("search", path)
    assert said.code == 2
    assert "mine.yaml" in said.err
    assert "did you mean 'model'" in said.err


def test_debug_shows_the_traceback(run, tmp_path):
    from autocompress.cli import main
    from autocompress.errors import UnknownName

    with pytest.raises(UnknownName):
        main(["--debug", "search", "--model", "lenet30", "--out", str(tmp_path / "run")])


def test_resume_extends_a_finished_run(run, copied):
    said = run("resume", copied, "--trials", 4)
    assert said.code == 0, said.err
    assert "[4/4] trial 3 complete" in said.out
    said = run("resume", copied.parent / "nowhere")
    assert said.code == 2
    assert "no such run folder" in said.err


STEPS = 40
RECIPE = f"{{mu: {{steps: {STEPS}}}, epochs_per_step: 1, batch_size: 512}}"
LONG = ["--set", f"space.recipe={RECIPE}", "--jobs", "1", "--trials", "3"]


def begin(python, sweep_file, out, wait_for):
    """Start a search in a process of its own and wait until a trial has done some steps."""
    process = subprocess.Popen(
        [*python, "search", str(sweep_file), "--out", str(out), *LONG],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = out / "trials" / "0000" / "log.txt"
    deadline = time.monotonic() + 120
    while not (log.exists() and wait_for in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def finish(run, out):
    """Resume with what is left made short, and return the study's records."""
    said = run("resume", out, "--jobs", 0, "--trials", 1)
    assert said.code == 0, said.err
    with Study.load(out) as study:
        return study.records()


@pytest.mark.slow
def test_ctrl_c_stops_soon_and_resume_goes_on(run, python, sweep_file, tmp_path, digits_cnn):
    out = tmp_path / "run"
    process = begin(python, sweep_file, out, "step   2")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: driver and workers alike
    said, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10  # 5, and what a busy machine adds
    assert process.returncode == 130
    assert err.strip() == f"interrupted; go on with: autocompress resume {out}"
    assert "Traceback" not in said
    steps = (out / "trials" / "0000" / "log.txt").read_text().count("step ")
    records = finish(run, out)
    assert [r.status for r in records] == [Status.COMPLETE]
    log = (out / "trials" / "0000" / "log.txt").read_text()
    assert log.count("step   0") == 1  # continued, not begun again
    assert steps < STEPS  # it was interrupted
    # a step that was saved just before is in the history, and may be missing in the log
    assert log.count(" step ") >= STEPS
    assert len((out / "trials" / "0000" / "history.csv").read_text().splitlines()) == STEPS + 2


@pytest.mark.slow
def test_a_killed_driver_loses_and_repeats_nothing(run, python, sweep_file, tmp_path, digits_cnn):
    out = tmp_path / "run"
    process = begin(python, sweep_file, out, "step   2")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    records = finish(run, out)
    assert [r.status for r in records] == [Status.COMPLETE]
    log = (out / "trials" / "0000" / "log.txt").read_text()
    assert log.count("step   0") == 1
    history = (out / "trials" / "0000" / "history.csv").read_text().splitlines()
    assert len(history) == STEPS + 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "small"], "target = 'small': expected METRIC>=VALUE or METRIC<=VALUE"),
        (["--target", "accuracy>=97"], "for 97 % write 97%"),
        (["--target", "accuracy>=ref-", "--minimize", "bytes"], "cannot read ''"),
        (["--minimize", "bytes"], "minimize = 'bytes': say what must be reached"),
        (["--target", "accuracy>=0.9", "--minimize", "byte"], "did you mean 'bytes'"),
        (["--target", "flops<=1M"], "limits.flops"),
    ],
)
def test_bad_targets_are_one_line_on_stderr(run, tmp_path, arguments, words):
    said = run("search", "--out", tmp_path / "run", *arguments)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_a_search_for_a_target_says_what_it_found_or_what_binds(run, sweep_file, tmp_path):
    options = ["--jobs", "0", "--trials", "1", "--quiet"]
    easy, hard = tmp_path / "easy", tmp_path / "hard"
    said = run("search", sweep_file, "--target", "accuracy>=5%", "--out", easy, *options)
    assert said.code == 0
    assert "smallest bytes with accuracy >= 5.00 %" in (easy / "report" / "answer.json").read_text()
    best = run("best", easy)
    assert best.code == 0
    assert "with accuracy >= 5.00 %" in best.out
    said = run("search", sweep_file, "--target", "loss<=0.00001", "--out", hard, *options)
    assert said.code == 1
    best = run("best", hard)
    assert best.code == 1
    assert "no trial keeps loss <= 1e-05" in best.out

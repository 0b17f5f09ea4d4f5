import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autocompress.explore.record import Status
from autocompress.explore.study import Study

STEPS = 8
BUSY = 5.0  # what a machine that does other things may add, seconds

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes it has forked")


def sweep(whom, out, seed=0, moments=0, trials=5):
    """Run a sweep to its end while somebody kills; return what was killed."""
    script = str(Path(__file__).with_name("killing.py"))
    numbers = [seed, moments, trials, STEPS]
    command = [sys.executable, script, whom, str(out), *map(str, numbers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["codes"][-1] == 0, ended.stderr[-3000:]
    return told


def check(out, trials):
    """Check that a run has its trials, each of them whole and none of its steps done twice."""
    with Study.load(out) as study:
        records = study.records()
    assert [r.number for r in records] == list(range(len(records)))
    complete = [r for r in records if r.status is Status.COMPLETE]
    assert len([r for r in complete if r.folder]) == trials
    assert {r.status for r in records} <= {Status.COMPLETE, Status.CRASHED}
    for record in complete:
        if record.folder is None:
            continue
        folder = out / record.folder
        steps = [int(x) for x in re.findall(r"  step +(\d+)", (folder / "log.txt").read_text())]
        assert steps == sorted(set(steps))
        assert len(record.course) == STEPS + 1
        assert len((folder / "history.csv").read_text().splitlines()) == STEPS + 2
        assert (folder / "model.safetensors").stat().st_size == record.metrics["bytes"]
        left = {path.name for path in folder.iterdir()}
        assert left == {"candidate.yaml", "history.csv", "log.txt", "model.safetensors"}
    return records


def values(records):
    return [{**r.to_dict(), "seconds": None} for r in records]


def test_a_serial_sweep_killed_again_and_again_equals_one_left_alone(tmp_path):
    told = sweep("serial", tmp_path / "killed", seed=1, moments=6)
    assert told["kills"]["driver"] >= 1
    killed, left = check(tmp_path / "killed", 5), check(tmp_path / "left", 5)
    assert values(killed) == values(left)


def test_workers_and_drivers_are_killed_and_nothing_is_lost(tmp_path):
    told = sweep("any", tmp_path / "run", seed=2, moments=8)
    assert told["kills"]["worker"] + told["kills"]["driver"] >= 2
    check(tmp_path / "run", 5)


def interrupted(told, moments):
    """Check that every Ctrl-C ended driver and workers in time, the second ones at once."""
    # ended otherwise: by the last trial, just before it
    assert set(told["codes"]) <= {0, 130}
    assert told["codes"].count(130) >= moments - 1
    once = [seconds for number, seconds in enumerate(told["took"]) if number % 3 != 2]
    assert max(once) < 5 + BUSY
    assert max(told["took"][2::3], default=0.0) < 1 + BUSY


def test_ctrl_c_again_and_again_and_nothing_is_lost(tmp_path):
    interrupted(sweep("interrupt", tmp_path / "run", seed=3, moments=3, trials=12), 3)
    check(tmp_path / "run", 12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", [0, 1])
def test_ctrl_c_at_fifty_moments(tmp_path, seed):
    interrupted(sweep("interrupt", tmp_path / "run", seed=seed, moments=50, trials=20), 40)
    check(tmp_path / "run", 20)


@pytest.mark.exhaustive
@pytest.mark.parametrize("whom", ["worker", "driver", "both", "serial"])
@pytest.mark.parametrize("seed", [0, 1])
def test_fifty_moments(tmp_path, whom, seed):
    told = sweep(whom, tmp_path / "run", seed=seed, moments=50, trials=20)
    assert sum(told["kills"].values()) >= 20
    records = check(tmp_path / "run", 20)
    if whom == "serial":
        assert values(records) == values(check(tmp_path / "left", 20))

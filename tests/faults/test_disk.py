"""Disks that are full or cannot be written: a clear error, and what was there before is used."""

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from autocompress.config import Sweep
from autocompress.errors import AutocompressError, ExecutorError
from autocompress.explore.record import Status
from autocompress.explore.trial import STATE, run_job
from autocompress.observer import Observer
from autocompress.storage import atomic
from autocompress.sweep import search
from autocompress.testing.executors import toy_context, toy_job

SPACE = {
    "layers": [
        {"match": "*", "schemes": [{"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}]}
    ],
    "recipe": {"mu": {"steps": 3}, "batch_size": 40},
}


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, and a function that mounts it again with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True)
        except OSError:
            pytest.skip("there is no mount here")
        if done.returncode:
            pytest.skip("only a superuser may mount")

    mount("size=6m")
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True)


def toy(out, **more):
    context = toy_context()
    given = {"trials": 3, "jobs": 0, "seeding": "none", "sampler": "random", **more}
    return Sweep(model=context.model, data=context.data, space=SPACE, out=out, **given)


class Filler(Observer):
    """Fills the disk in the midst of a trial."""

    def __init__(self, file):
        self.file = file

    def step(self, number, record):
        if (number, record.step) == (1, 1):
            with open(self.file, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass


def test_a_disk_that_runs_full_ends_the_sweep_and_room_lets_it_go_on(disk, tmp_path):
    out = disk / "run"
    with pytest.raises((AutocompressError, OSError), match=r"(?i)no space left|disk is full"):
        search(toy(out), observer=Filler(disk / "other people's files"))
    (disk / "other people's files").unlink()
    records = search(toy(out)).records()
    assert [r.status for r in records] == [Status.COMPLETE] * 3
    log = (out / "trials" / "0001" / "log.txt").read_text()
    assert log.count("step   0") == 1  # it went on from its last good state
    alone = search(toy(tmp_path / "alone")).records()
    assert [r.metrics for r in records] == [r.metrics for r in alone]


def test_a_folder_that_cannot_be_written_is_one_clear_error(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(OSError, match=f"Read-only file system: '{disk}"):
        search(toy(disk / "run"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_a_trial_that_cannot_write_ends_the_sweep_and_is_not_a_failure(
    tmp_path, monkeypatch, number
):
    whole = run_job(toy_job(0, tmp_path / "whole", steps=4), toy_context())
    job = toy_job(0, tmp_path / "parts", steps=4)
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 7:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(ExecutorError, match=f"cannot be written: {os.strerror(number)}"):
            run_job(job, toy_context())
    assert (Path(job.folder) / STATE).exists()
    again = run_job(job, toy_context())
    assert again.metrics == whole.metrics
    log = (Path(job.folder) / "log.txt").read_text()
    assert log.count("step   0") == 1


def test_a_truncated_checkpoint_is_started_over_and_said_so(tmp_path):
    whole = run_job(toy_job(0, tmp_path / "whole"), toy_context())
    job = toy_job(0, tmp_path / "parts")
    seen = []

    def interrupt(record):
        seen.append(record)
        if record.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, toy_context(), interrupt)
    state = Path(job.folder) / STATE
    state.write_bytes(state.read_bytes()[:-100])
    assert run_job(job, toy_context()).metrics == whole.metrics
    assert "begins again from the start" in (Path(job.folder) / "log.txt").read_text()


def test_errors_of_a_users_own_code_are_failures_of_the_trial(tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No such file", "my own file")

    monkeypatch.setattr("autocompress.explore.trial.compress", missing)
    result = run_job(toy_job(0, tmp_path), toy_context())
    assert result.status is Status.CRASHED
    assert "my own file" in result.message

"""Ctrl-C: stops soon, whatever is going on, and the second one at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

# what is slow to stop, and does not want to
SCRIPT = """
import hashlib, os, signal, sys, time
import typer
from autocompress.cli.guard import interruptible

def deep():
    while True:
        try:
            print("on", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes, and no handler runs in it
        except KeyboardInterrupt:
            pass  # before it was that deep

def fork():
    for _ in range(20):
        child = os.fork()
        if child == 0:
            time.sleep(60)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM

def slow():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            pass

try:
    with interruptible("autocompress resume runs/x", lambda: sys.argv[1] == "begun"):
        try:
            if sys.argv[2] == "forks":
                fork()
            if sys.argv[2] == "deep":
                deep()
            print("on", flush=True)
            time.sleep(60)
        finally:
            if sys.argv[2] == "slow":
                slow()
            if sys.argv[2] == "torn":
                raise ValueError("half of it is missing")
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


def start(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a background job ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "on\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_one_says_how_to_go_on(number):
    process = start("begun", "quick")
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == (
        "\ninterrupted; go on with: autocompress resume runs/x\n"
    )
    assert process.returncode == 130


def test_errors_that_come_of_it_are_not_told():
    process = start("begun", "torn")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == (
        "\ninterrupted; go on with: autocompress resume runs/x\n"
    )
    assert process.returncode == 130


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_what_children_are_told_is_not_for_their_parent():
    process = start("begun", "forks")  # ends at the second signal that it hears
    process.send_signal(signal.SIGINT)
    assert "go on with" in process.communicate(timeout=30)[1]
    assert process.returncode == 130


@pytest.mark.parametrize("what", ["slow", "deep"])
def test_what_does_not_stop_is_left_as_it_is_after_three_seconds(what):
    process = start("none", what)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.communicate(timeout=30)[1] == "\ninterrupted; nothing was begun\n"
    assert process.returncode == 130
    assert 2 < time.monotonic() - began < 15  # 3, and what a busy machine adds


@pytest.mark.parametrize("what", ["slow", "deep"])
def test_the_second_one_ends_it_at_once(what):
    process = start("begun", what)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert "go on with" in process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert time.monotonic() - began < 3

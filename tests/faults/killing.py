"""A sweep whose processes are killed at random moments; run as a program by the tests.

The program runs a sweep itself, into OUT's neighbour "left", and then forks the drivers, so that
nothing is imported again after a kill; workers are forked from the drivers. Moments are drawn in
events of the sweep and in seconds, so that they fall everywhere, however busy the machine is.

    python killing.py WHOM OUT SEED MOMENTS TRIALS STEPS

WHOM is worker, driver, both, any, serial (a driver without workers; "left" is then the whole sweep)
or interrupt: then the driver hears SIGINT, every third time twice.
"""

import contextlib
import json
import multiprocessing
import os
import random
import select
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import torch
import typer

from autocompress import sweep as sweeps
from autocompress.cli.guard import interruptible
from autocompress.config import Sweep
from autocompress.executors import slot
from autocompress.observer import Observer
from autocompress.sweep import search
from autocompress.testing.executors import toy_context

PRUNE = {"scheme": "prune", "density": {"low": 0.1, "high": 0.9}}


def settings(out, jobs, trials, steps):
    context = toy_context()
    space = {
        "layers": [{"match": "*", "schemes": [PRUNE]}],
        "recipe": {"mu": {"steps": steps, "factor": 1.05}, "batch_size": 40},
    }
    kinds = {"sampler": "tpe", "seeding": "uniform", "trials": trials, "jobs": jobs}
    return Sweep(model=context.model, data=context.data, space=space, out=out, **kinds)


class Beats(Observer):
    """Writes a byte for everything that happens."""

    def __init__(self, pipe):
        self.pipe = pipe

    def beat(self, *what):
        os.write(self.pipe, b".")

    phase = started = step = ended = beat

    def begin(self, title, folder, tally):
        self.beat()


def drive(sweep, pipe):
    """Be a driver, in a process of its own."""
    os.register_at_fork(after_in_child=let_go_of_the_lock)
    slot.WorkerContext = lambda threads: multiprocessing.get_context("fork")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    code = 1
    try:
        with interruptible("", lambda: True):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            search(sweep, observer=Beats(pipe))
        code = 0
    except typer.Exit as end:
        code = end.exit_code
    except KeyboardInterrupt:
        code = 130  # after the sweep's end: as of the command line as a whole
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def let_go_of_the_lock():
    """Close the run's lock in a forked worker; a spawned one never has it."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(link).endswith(".lock"):
                os.close(int(link.name))


def workers(process):
    """Return the children of any of its threads."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        try:
            found += [int(x) for x in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


class Victim:
    """A driver that runs; counts its events."""

    def __init__(self, sweep):
        read, write = os.pipe()
        self.pipe = read
        sys.stdout.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until its command has begun
        self.process = os.fork()
        if self.process == 0:
            os.close(read)
            drive(sweep, write)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.close(write)

    def wait(self, events):
        """Wait for so many events; return whether it has ended instead."""
        while events > 0:
            heard = os.read(self.pipe, events)
            if not heard:
                return True
            events -= len(heard)
        return False

    def ended(self, seconds):
        """Return whether it ends within some seconds, passing over its events."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.pipe], [], [], left)[0] and not os.read(self.pipe, 4096):
                return True
        return False

    def bury(self):
        status = os.waitpid(self.process, 0)[1]
        os.close(self.pipe)  # not before: it may still have something to tell
        return os.waitstatus_to_exitcode(status)


def results(out):
    """Return the results in the database by trial, as text, with what is there after a kill."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{out}/study.db?mode=rw", uri=True)) as file:
            select = "SELECT trial_id, value_json FROM trial_user_attributes WHERE key = 'result'"
            return dict(file.execute(select))
    except sqlite3.OperationalError:  # no file, no table: nothing was begun
        return {}


def kill(process, number=signal.SIGKILL):
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return 0
    return 1


def interrupt(victim, twice):
    """Press Ctrl-C once or twice; return the seconds until its workers and it have ended."""
    left = workers(victim.process)
    began = time.monotonic()
    os.kill(victim.process, signal.SIGINT)
    if twice:
        time.sleep(0.3)
        began = time.monotonic()
        kill(victim.process, signal.SIGINT)
    code = victim.bury()
    while any(Path(f"/proc/{worker}").exists() for worker in left):
        time.sleep(0.01)
    return time.monotonic() - began, code


def main(whom, out, seed, moments, trials, steps):
    torch.set_num_threads(1)
    sweeps._report = lambda *a: SimpleNamespace(problems=(), index="")  # plots take seconds
    left = Path(out).with_name("left")
    search(settings(left, 0, trials if whom == "serial" else 1, steps)).close()
    lottery = random.Random(seed)
    sweep = settings(out, 0 if whom == "serial" else 2, trials, steps)
    kills, codes, kept, took = {"driver": 0, "worker": 0}, [], {}, []
    victim = Victim(sweep)
    done = False
    for _ in range(moments):
        done = victim.wait(lottery.randint(0, 9)) or victim.ended(lottery.uniform(0, 0.05))
        if done:
            break
        if whom == "interrupt":
            seconds, code = interrupt(victim, twice=len(took) % 3 == 2)
            took.append(seconds)
            codes.append(code)
            victim = Victim(sweep)
            continue
        mixed = lottery.choice(["driver", "worker", "both"])
        who = {"serial": "driver", "any": mixed}.get(whom, whom)
        if who in ("worker", "both"):
            found = workers(victim.process)
            chosen = found if who == "both" else lottery.sample(found, min(1, len(found)))
            kills["worker"] += sum(map(kill, chosen))
        if who in ("driver", "both"):
            kills["driver"] += kill(victim.process)
            codes.append(victim.bury())
            now = results(out)
            assert kept == {trial: now.get(trial) for trial in kept}, "a result was lost"
            kept = now
            victim = Victim(sweep)
    while not done:
        done = victim.wait(100)
    codes.append(victim.bury())
    print(json.dumps({"kills": kills, "codes": codes, "took": took}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

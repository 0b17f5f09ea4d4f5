"""Ray Tune, in a thread of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from ray import tune

from autocompress.executors.environment import environment
from autocompress.executors.ray.cluster import Cluster
from autocompress.executors.ray.desk import Desk, Note
from autocompress.executors.ray.floor import Floor, Handles, StudyScheduler, StudySearcher
from autocompress.executors.ray.run import Run
from autocompress.executors.ray.settings import RaySettings
from autocompress.executors.ray.tasks import Task
from autocompress.executors.ray.trainable import Trainable
from autocompress.explore.trial import Job

_LEAVE = 10.0
"""Seconds for Tune to end."""
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with the old one, silence is silence
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths of ours may be relative
    "RAY_ENABLE_AUTO_CONNECT": "0",  # where we have left, Tune's thread is not to come back
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study has it all
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # nobody reads Tune's own state
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


class Tuner:
    """Has Ray Tune run tasks.

    Tune's own state is written to a temporary folder and never read: the study is the one truth,
    and Tune restores by unpickling.

    Args:
        cluster: Where trials run.
        settings: What each is given.
        size: How many may run at a time.
        waits: Whether workers wait after each step until the driver has dealt with it.
        worker: Arguments of each :class:`~autocompress.executors.ray.worker.Worker`.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: RaySettings,
        size: int,
        *,
        waits: bool,
        worker: dict[str, Any],
    ) -> None:
        self._ray = cluster.ray
        self._settings = settings
        self._desk = Desk()
        self._until_closed = contextlib.ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="autocompress-", ignore_cleanup_errors=True)
        found = {**_ENVIRONMENT, "TUNE_MAX_PENDING_TRIALS_PG": str(size + 2)}
        for part in (folder, environment(found), _silent()):
            self._until_closed.enter_context(part)
        floor = Floor(self._desk, size)
        trainable = tune.with_parameters(Trainable, head=cluster.head, waits=waits, **worker)
        self._tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(floor),
                scheduler=StudyScheduler(floor, waits=waits),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="autocompress",
                storage_path=folder.name,
                callbacks=[Handles(self._desk)],
                # a trial that has failed is given back: the driver knows lost nodes from bad trials
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> list[Run]:
        """Those that have not ended."""
        return [*self._desk.waiting, *self._desk.runs.values()]

    def begin(self, task: Task, job: Job, measured: tuple[str, ...] | None) -> None:
        """Have a task run.

        Args:
            task: The task.
            job: Its job as the worker is to do it.
            measured: None to run it; otherwise what to measure of the model that it left.
        """
        text = json.dumps([job.to_dict(), task.name, measured])
        config = {"job": text, "needs": json.dumps(self._needs(task))}
        self._desk.bring(Run(task, config))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tune", daemon=True)
            self._thread.start()

    def _needs(self, task: Task) -> dict[str, float]:
        settings = self._settings
        gpus = settings.gpus_per_trial
        found = {"CPU": settings.cpus_per_trial, "GPU": 1.0 if task.kind == "alone" else gpus}
        if task.kind == "timer":
            found = {"CPU": 0.0, "GPU": gpus, str(settings.latency_on): 1.0}
        return {name: value for name, value in found.items() if value}

    def read(self, timeout: float) -> list[Note]:
        """Return what was said since the last call, whose notes have been dealt with."""
        return self._desk.read(timeout)

    def stop(self, number: int) -> None:
        """Have a job end after its current step."""
        for run in self.runs:
            if run.task.job.number == number:
                run.stopped = True

    def end(self, run: Run) -> None:
        """End a run's worker at once, whatever it is doing; nothing more is heard of the run."""
        run.over = True
        with contextlib.suppress(Exception):  # it was never there, or it or its node is gone
            self._ray.kill(run.actor, no_restart=True)

    def close(self, *, there: bool) -> None:
        """End all.

        Args:
            there: Whether the head still is; otherwise workers end by themselves, and Tune with
                this process.
        """
        self._desk.close()
        if self._thread is not None and there:
            for run in self.runs:
                self.end(run)
            deadline = time.monotonic() + _LEAVE
            while self._thread.is_alive() and time.monotonic() < deadline:
                self._thread.join(0.1)
                self._desk.read(0.0)
        if self._thread is None or not self._thread.is_alive():
            self._until_closed.close()  # else Tune, still there, would connect to Ray again

    def _run(self) -> None:
        try:
            self._tuner.fit()
        except BaseException as error:  # of Tune's own, or of a Ray that is gone
            self._desk.say(None, {"fatal": f"Ray Tune has ended: {type(error).__name__}: {error}"})


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Have Tune log nothing meanwhile: what there is to say, the driver says."""
    log = logging.getLogger("ray.tune")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def _name(trial: Any) -> str:
    return str(trial.trial_id)

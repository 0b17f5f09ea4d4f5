"""Ray Tune's searcher, scheduler and callback: the driver's words in Tune's terms.

Which trials there are, and which are to stop, is decided by the driver, who has the study: by the
same code under all executors. What is decided here is which worker a trial is given.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from autocompress.executors.ray.desk import Desk
from autocompress.executors.ray.run import Run
from autocompress.executors.ray.tasks import Kind
from autocompress.executors.ray.trainable import ENDS

_PATIENCE = 60.0
"""Seconds that a trial waits for a worker of its own before it is given another's."""
_IDLE = 0.2
"""Seconds between two looks of Tune's where nothing runs."""
_NEXT = 0.05
"""Seconds that a worker waits for its next trial; Tune would look after 0.1 s only."""


class Floor:
    """The trials that Tune has, and their workers.

    A worker stays with a trial that is over, which Tune hears nothing more of, until there is
    another for it. Tune would end it unless one waited at that very moment, and would give it to
    one whose own worker is just coming up.

    Args:
        desk: Where runs come from and notes go.
        size: How many trials may run at a time; of other tasks, one of each kind.
    """

    def __init__(self, desk: Desk, size: int) -> None:
        self.desk = desk
        self._size = size
        self._new: list[Run] = []  # no worker was asked for
        self._staged: list[Run] = []  # theirs are coming up, or wait for room
        self._idle: list[Run] = []  # over, with a worker

    def next(self, name: str) -> Run | None:
        """Return a run for Tune to begin under a name, if there is one that has room."""
        if not self.desk.runs:
            self.desk.await_run(_IDLE)  # Tune's loop would turn without a pause
        if self._emptying or (self._new and self._idle):
            return None  # one at a time where there are workers to choose from
        going = Counter(run.task.kind for run in self.desk.runs.values())
        room = (r for r in list(self.desk.waiting) if going[r.task.kind] < self._most(r.task.kind))
        run = next(room, None)
        if run is None:
            return None
        self.desk.waiting.remove(run)
        self.desk.runs[name] = run
        self._new.append(run)
        return run

    def _most(self, kind: Kind) -> int:
        return self._size if kind == "trial" else 1

    def over(self, run: Run) -> bool:
        """Take a run that is over; return whether its worker stays."""
        run.over = True
        stays = not run.alone and not self._emptying
        if stays:
            self._idle.append(run)
        return stays

    def choose(self, controller: Any) -> Any:
        """Return the trial of Tune's that is the next to be given a worker.

        Args:
            controller: What Tune lets schedulers do; one without work is taken from its trial here,
                and Tune hands it on.
        """
        if self.desk.closed:
            for trial in list(controller.get_live_trials()):
                controller.stop_trial(trial)
            return None
        self._staged = [run for run in self._staged if run.trial.status == "PENDING"]
        late = [run for run in self._staged if time.monotonic() - run.asked > _PATIENCE]
        run = next((run for run in (*late, *self._new) if self._free(run, controller)), None)
        run = run or next(iter(self._new), None)
        self._staged += self._new
        self._new = []
        if self._emptying:
            for idle in self._idle:
                controller.stop_trial(idle.trial)
            self._idle.clear()
        return run.trial if run is not None else None

    def _free(self, run: Run, controller: Any) -> bool:
        """Take a worker that does for a run from its trial, if there is one."""
        idle = next((idle for idle in self._idle if idle.needs == run.needs), None)
        if idle is None:
            return False
        self._idle.remove(idle)
        controller.stop_trial(idle.trial)
        return True

    @property
    def _emptying(self) -> bool:
        """Whether a trial waits for a GPU of its own: none may take a part of one meanwhile."""
        return any(run.alone for run in (*self._new, *self._staged))


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands out what the driver has asked the study for; the study is told by the driver, too."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor

    def suggest(self, trial_id: str) -> Any:
        if self._floor.desk.closed:
            return Searcher.FINISHED
        run = self._floor.next(trial_id)
        return dict(run.config) if run is not None else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the notes of the scheduler came before."""


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Passes on what trials say, and the driver's word that one is to stop.

    Args:
        floor: The trials and their workers.
        waits: Whether a trial goes on only when the driver has dealt with its last step.
    """

    def __init__(self, floor: Floor, *, waits: bool) -> None:
        super().__init__()
        self._floor = floor
        self._desk = floor.desk
        self._waits = waits

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._desk.runs[trial.trial_id].trial = trial

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        return self._floor.choose(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        run = self._desk.runs[trial.trial_id]
        for message in result["news"]:
            if ENDS & message.keys():
                del self._desk.runs[trial.trial_id]
                stays = self._floor.over(run)
                self._desk.say(run, message)
                self._desk.await_run(_NEXT)
                return str(TrialScheduler.NOOP if stays else TrialScheduler.STOP)
            self._desk.say(run, message, wait=self._waits and "step" in message)
        if run.stopped:
            run.actor.halt.remote(run.task.job.number)
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        run = self._desk.runs.pop(trial.trial_id, None)
        if run is not None and not run.over:
            run.over = True
            why = ""
            with contextlib.suppress(OSError), open(trial.error_file, encoding="utf-8") as file:
                why = file.read()
            self._desk.say(run, {"lost": why})


class Handles(Callback):  # type: ignore[misc]
    """Keeps Ray's handles of workers, of use where one hangs; and what Tune notes of trials small.

    Tune has every trial in memory until the end, with statistics of all numbers in its results.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = self._desk.runs.get(trial.trial_id)
        if run is not None:
            run.actor = trial.temporary_state.ray_actor

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        trial.last_result.pop("config", None)
        trial.last_result["news"] = 0  # Tune tells the user of trials whose last result is empty
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()

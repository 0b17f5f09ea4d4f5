"""The contract of an executor, as a test class to inherit from.

::

    class TestMyExecutor(ExecutorContract):
        def make(self, context, workers):
            return MyExecutor(context, workers=workers)
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autocompress import data
from autocompress.compression import Prune
from autocompress.executors.base import DoneEvent, Event, Executor, StepEvent
from autocompress.explore.record import Status
from autocompress.explore.trial import Job, TrialContext, TrialResult, clean_up
from autocompress.lc import StepRecord
from autocompress.plan import Plan, Task
from autocompress.recipe import LC, SGD, Candidate, MuSchedule

METRICS = ("accuracy", "bytes")


def toy_context() -> TrialContext:
    """Return a two-layer network and 240 points in three separable classes; needs no file."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(240) % 3
    x = torch.randn(240, 6, generator=generator) + 2 * nn.functional.one_hot(y, 6)
    parts = [(x[i : i + 80], y[i : i + 80]) for i in (0, 80, 160)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    toy = data.from_tensors(train=parts[0], val=parts[1], test=parts[2], name="toy")
    return TrialContext(model, toy)


def toy_job(number: int, runs: Path, *, steps: int = 2, lr: float = 0.1, mu: float = 1e-2) -> Job:
    """Return a job for :func:`toy_context` that prunes for a few L-C steps; makes its folder."""
    folder = runs / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan([Task("all", "*.weight", Prune(density=0.5))])
    recipe = LC(
        mu=MuSchedule(start=mu, factor=1.1, steps=steps),
        optimizer=SGD(lr=lr),
        batch_size=16,
        tolerance=0.0,
    )
    candidate = Candidate(plan, recipe).to_dict()
    return Job(number, candidate, seed=number, folder=str(folder), metrics=METRICS)


def until_done(
    executor: Executor,
    numbers: Sequence[int],
    *,
    on_event: Callable[[Event], Any] = lambda event: None,
    seconds: float = 60.0,
) -> tuple[dict[int, TrialResult], list[Event]]:
    """Poll until all of some jobs have ended; return results by number, and all events.

    Raises:
        TimeoutError: they did not end in time.
    """
    events: list[Event] = []
    results: dict[int, TrialResult] = {}
    deadline = time.monotonic() + seconds
    while set(results) != set(numbers):
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {sorted(results)} of {sorted(numbers)} ended")
        for event in executor.poll(0.2):
            events.append(event)
            on_event(event)
            if isinstance(event, DoneEvent):
                results[event.result.number] = event.result
    return results, events


class ExecutorContract(ABC):
    """Inherit, implement :meth:`make`, and let pytest collect the class."""

    @abstractmethod
    def make(self, context: TrialContext, workers: int) -> Executor:
        """Return a new executor that may run so many jobs at a time."""

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls) -> Iterator[Executor]:
        """One executor with one worker for all tests but those that need their own."""
        with cls().make(toy_context(), 1) as executor:
            yield executor

    def test_a_job_reports_its_steps_in_order_and_then_its_end(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        assert executor.capacity == 1
        executor.submit([toy_job(3, tmp_path)])
        assert executor.capacity == 0
        results, events = until_done(executor, [3])
        assert [e.record.step for e in events if isinstance(e, StepEvent)] == [0, 1, 2]
        assert isinstance(events[-1], DoneEvent)
        result = results[3]
        assert result.status is Status.COMPLETE
        assert set(result.metrics) == set(METRICS)
        assert result.steps == 2
        assert result.seconds > 0
        executor.poll(0.5)
        assert executor.capacity == 1

    def test_a_batch_runs_whole(self, executor: Executor, tmp_path: Path) -> None:
        executor.submit([toy_job(n, tmp_path) for n in (0, 1, 2)])
        results, events = until_done(executor, [0, 1, 2])
        assert {r.status for r in results.values()} == {Status.COMPLETE}
        assert sum(isinstance(e, DoneEvent) for e in events) == 3

    def test_jobs_beyond_capacity_wait(self, executor: Executor, tmp_path: Path) -> None:
        for number in range(4):
            executor.submit([toy_job(number, tmp_path, steps=1)])
        results, _ = until_done(executor, range(4))
        assert {r.status for r in results.values()} == {Status.COMPLETE}

    def test_the_result_depends_on_the_job_alone(self, executor: Executor, tmp_path: Path) -> None:
        results = []
        for name in ("a", "b"):
            executor.submit([toy_job(5, tmp_path / name)])
            results.append(until_done(executor, [5])[0][5].metrics)
        assert results[0] == results[1]

    def test_stop_ends_a_job_after_a_step_as_pruned(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        executor.submit([toy_job(0, tmp_path, steps=2000)])
        results, _ = until_done(executor, [0], on_event=lambda event: executor.stop(0))
        assert results[0].status is Status.PRUNED
        assert results[0].steps < 2000

    def test_stopping_an_unknown_job_does_nothing(self, executor: Executor, tmp_path: Path) -> None:
        executor.stop(99)
        executor.submit([toy_job(0, tmp_path)])
        assert until_done(executor, [0])[0][0].status is Status.COMPLETE

    def test_a_job_that_cannot_run_is_a_status_and_the_next_one_runs(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        bad = toy_job(0, tmp_path)
        bad.candidate["tasks"][0]["params"] = ["nothing.*"]
        executor.submit([bad])
        executor.submit([toy_job(1, tmp_path)])
        results, _ = until_done(executor, [0, 1])
        assert results[0].status is Status.CRASHED
        assert "nothing.*" in results[0].message
        assert results[1].status is Status.COMPLETE

    def test_a_job_that_diverges_is_a_status(self, executor: Executor, tmp_path: Path) -> None:
        executor.submit([toy_job(0, tmp_path, lr=1e30, mu=1e-35)])
        assert until_done(executor, [0])[0][0].status is Status.DIVERGED

    def test_an_abandoned_job_continues_under_another_executor(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        executor.submit([toy_job(0, tmp_path / "whole", steps=30)])
        whole = until_done(executor, [0])[0][0]
        job = toy_job(0, tmp_path / "parts", steps=30)
        before: list[StepRecord] = []
        with self.make(toy_context(), 1) as other:
            other.submit([job])
            while not before or before[-1].step == 0:
                before += [e.record for e in other.poll(5) if isinstance(e, StepEvent)]
        executor.submit([job])
        results, events = until_done(executor, [0])
        assert results[0].metrics == whole.metrics
        assert results[0].steps == 30
        steps = [e.record for e in events if isinstance(e, StepEvent)]
        assert [record.step for record in steps] == list(range(31))
        assert steps[: len(before)] == before  # told again, with its time, and not done again
        clean_up(Path(job.folder))
        assert not (Path(job.folder) / "state.safetensors").exists()

    def test_closing_twice_is_fine(self) -> None:
        executor = self.make(toy_context(), 1)
        executor.close()
        executor.close()

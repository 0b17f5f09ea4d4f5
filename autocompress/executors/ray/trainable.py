"""A trial as Ray Tune sees it; imported where Ray is, and on the nodes."""

from __future__ import annotations

import json
from typing import Any

from ray import tune

from autocompress.executors.ray.worker import Worker, end_without

ENDS = frozenset({"result", "metrics", "broken", "fatal"})
"""Messages after which there is no other of a job."""


class Trainable(tune.Trainable):  # type: ignore[misc]
    """Does one job after the other; a step of Tune's is all that has happened since the last.

    Its configuration has two texts in JSON: ``job``, the arguments of
    :meth:`~autocompress.executors.ray.worker.Worker.begin`, and ``needs``, what Ray reserves.
    Where it stands is no checkpoint of Tune's: the L-C state lies in the job's folder or in the
    storage, and whoever begins the job again goes on from there.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Return what the job needs."""
        return tune.PlacementGroupFactory([json.loads(config["needs"])])

    def setup(self, config: dict[str, Any], head: str = "", **how: Any) -> None:
        """Get ready for jobs; see :class:`~autocompress.executors.ray.worker.Worker`."""
        end_without(head)
        self._worker = Worker(**how)
        self._begun = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job."""
        self._begun = False
        return True

    def step(self) -> dict[str, Any]:
        """Wait for something to happen, and return what did as ``news``."""
        if not self._begun:
            self._begun = True
            self._worker.begin(*json.loads(self.config["job"]))
        return {"news": self._worker.news()}

    def halt(self, number: int) -> None:
        """Have a job end after its current step."""
        self._worker.stop(number)
